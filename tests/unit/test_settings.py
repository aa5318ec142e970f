"""Settings: which source wins, what is refused, how lists are written."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from stream.settings import Settings


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    path = tmp_path / "firstclick.toml"
    path.write_text('wait_ms = 1\nbatch_events = 2\nthreads = 3\nevents = ["clicks", "events"]\n')
    return path


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(
    toml: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FIRSTCLICK_WAIT_MS", "10")
    monkeypatch.setenv("FIRSTCLICK_BATCH_EVENTS", "20")
    settings = Settings.load(toml, wait_ms="100")
    assert (settings.wait_ms, settings.batch_events, settings.threads) == (100, 20, 3)
    assert settings.list_items == Settings().list_items == 10


def test_without_a_file_the_environment_alone_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTCLICK_GROUP", "mine")
    assert Settings.load().group == "mine"


def test_an_unknown_name_in_the_file_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "typo.toml"
    path.write_text("wait_mss = 1\n")
    with pytest.raises(ValidationError, match="wait_mss"):
        Settings.load(path)


def test_an_unknown_name_on_the_command_line_is_refused() -> None:
    with pytest.raises(ValidationError, match="wait_mss"):
        Settings.load(wait_mss=1)


@pytest.mark.parametrize("value", ["a,b", " a , b ,", ["a", "b"], ("a", "b")])
def test_names_come_with_commas_or_as_a_list(value: object) -> None:
    assert Settings.load(events=value).events == ("a", "b")


def test_names_come_with_commas_from_the_environment_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTCLICK_EVENTS", "a,b")
    monkeypatch.setenv("FIRSTCLICK_REPEAT_CATEGORIES", "Grocery*, Milk")
    settings = Settings.load()
    assert settings.events == ("a", "b")
    assert settings.repeat_categories == ("Grocery*", "Milk")


def test_names_come_as_a_list_from_the_file(toml: Path) -> None:
    assert Settings.load(toml).events == ("clicks", "events")


@pytest.mark.parametrize(
    "given",
    [
        {"events": ""},
        {"events": "a,a"},
        {"wait_ms": -1},
        {"wait_ms": "soon"},
        {"batch_events": 0},
        {"transaction_timeout_ms": 900_001},
        {"guarantee": "twice"},
        {"device": "gpu"},
        {"items": "no blanks"},
        {"web_port": 65_536},
        {"bootstrap": ""},
    ],
)
def test_a_value_out_of_its_range_is_refused_under_its_name(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        Settings.load(**given)


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().wait_ms = 3  # type: ignore[misc]


def test_further_client_properties_go_to_every_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIRSTCLICK_KAFKA", '{"security.protocol": "SSL"}')
    assert Settings.load(bootstrap="b:1").client == {"bootstrap.servers": "b:1", "security.protocol": "SSL"}


def test_two_workers_of_one_host_have_two_names_and_one_that_comes_back_has_its_own() -> None:
    # Rule 5: the name is the transactional id.
    assert Settings(web_port=1).replica_name != Settings(web_port=2).replica_name
    assert Settings(web_port=1).replica_name == Settings(web_port=1).replica_name
    assert Settings(replica="r-0").replica_name == "r-0"


def test_every_knob_says_what_it_does_and_where_it_belongs() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert isinstance(field.json_schema_extra, dict), name
        assert field.json_schema_extra["group"], name


def test_a_topic_names_its_format_behind_a_colon() -> None:
    settings = Settings.load(events="clicks:ga4,reviews")
    assert settings.formats == {"clicks": "ga4", "reviews": "firstclick"}


@pytest.mark.parametrize("events", ["clicks:csv", "clicks:ga4,clicks", "clicks:ga4,clicks:segment"])
def test_an_unknown_format_and_a_topic_named_twice_are_refused(events: str) -> None:
    with pytest.raises(ValidationError, match=r"no format is called csv; known are .*ga4|each once"):
        Settings.load(events=events)


@pytest.mark.parametrize("url", ["registry:8081", "ftp://registry", "http://a b"])
def test_a_registry_is_a_url(url: str) -> None:
    with pytest.raises(ValidationError, match="registry"):
        Settings.load(registry=url)
    assert Settings.load(registry="http://registry:8081").registry == "http://registry:8081"
