"""How clients reach the brokers: every client gets the properties, and nobody sees the secrets."""

from pathlib import Path

import click
import pytest

from stream.cli import firstclick, invoke
from stream.client import HIDDEN, resolved, shown, told_properties
from stream.errors import Exit, WrongUsage
from stream.settings import Settings

PASSWORD = "s3cret-of-the-shop"
SASL = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.username": "firstclick"}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    return path


def test_a_file_of_properties_is_read_as_kcat_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "client.properties"
    file.write_text("# ours\n\nsecurity.protocol=SASL_SSL\nsasl.password = a=b \n")
    assert told_properties(str(file), typed=True) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}


def test_secrets_come_from_files_and_variables(secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_PASSWORD", "k")
    told = told_properties({"sasl.password": f"file:{secret}", "ssl.key.password": "env:KEY_PASSWORD", "retries": 3})
    assert resolved(told) == {"sasl.password": PASSWORD, "ssl.key.password": "k", "retries": "3"}


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("[1]", "JSON object"),
        ("{", "no JSON"),
        ("/nowhere.properties", "no file that can be read"),
        ({"sasl.password": "file:/nowhere"}, "sasl.password is to come from /nowhere"),
        ({"sasl.password": "env:NO_SUCH_VARIABLE"}, "NO_SUCH_VARIABLE, which is not set"),
        ({"sasl.password": ["a"]}, "neither text nor number"),
    ],
)
def test_what_cannot_be_is_told_with_the_remedy(told: object, said: str) -> None:
    with pytest.raises(WrongUsage, match=said):
        resolved(told_properties(told))


@pytest.mark.parametrize("command", [["worker"], ["topics"], ["dump", "--topic", "events"], ["doctor"]])
def test_a_secret_on_the_command_line_is_refused_and_not_repeated(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["--debug", *command, "--kafka", f'{{"sasl.password": "{PASSWORD}"}}']) == Exit.USAGE
    assert invoke([*command, "--kafka", f'{{"sasl.password": "{PASSWORD}"}}']) == Exit.USAGE
    said = capsys.readouterr()
    assert "sasl.password is a secret" in said.err
    assert PASSWORD not in said.out + said.err


def test_a_registrys_secret_is_not_typed_either_and_no_settings_show_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    url = f"https://shop:{PASSWORD}@registry.example"
    assert invoke(["worker", "--registry", url]) == Exit.USAGE
    said = capsys.readouterr()
    assert "FIRSTCLICK_REGISTRY" in said.err
    monkeypatch.setenv("FIRSTCLICK_REGISTRY", url)
    settings = Settings.load()
    assert settings.registry == url
    assert PASSWORD not in f"{settings!r} {said.err}"


def test_no_print_of_settings_shows_a_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FIRSTCLICK_KAFKA", f'{{"sasl.password": "{PASSWORD}"}}')
    settings = Settings.load()
    assert settings.client["sasl.password"] == PASSWORD
    assert PASSWORD not in f"{settings!r} {settings} {shown(settings.client)}"
    assert shown(settings.client)["sasl.password"] == HIDDEN
    for name in ("worker", "topics", "replay", "dump", "doctor"):
        invoke([name, "--help"])
    monkeypatch.setenv("FIRSTCLICK_WAIT_MS", "soon")
    assert invoke(["--debug", "worker"]) == Exit.USAGE
    monkeypatch.setenv("FIRSTCLICK_KAFKA", f'{{"sasl.password": "{PASSWORD}"')
    assert invoke(["--debug", "worker"]) == Exit.USAGE
    assert invoke(["--debug", "topics"]) == Exit.USAGE
    said = capsys.readouterr()
    assert "--kafka" in said.out + said.err
    assert PASSWORD not in said.out + said.err


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password", "ssl.key.password", "ssl.keystore.password", "ssl.key.pem", "sasl.oauthbearer.client.secret",
        "sasl.oauthbearer.config", "sasl.oauthbearer.assertion.private.key.passphrase", "sasl.jaas.config",
    ],
)  # fmt: skip
def test_what_is_a_secret(name: str) -> None:
    assert shown({name: PASSWORD, **SASL}) == {name: HIDDEN, **SASL}


def kafka_commands() -> list[str]:
    """Every command that takes --bootstrap."""

    def named(path: str, command: click.Command) -> list[str]:
        if isinstance(command, click.Group):
            return [each for name, child in command.commands.items() for each in named(f"{path} {name}".strip(), child)]
        params = command.get_params(click.Context(command))
        return [path] if any("--bootstrap" in param.opts for param in params) else []

    return named("", firstclick)


@pytest.mark.parametrize("path", kafka_commands())
def test_every_command_that_knows_brokers_takes_the_properties(path: str) -> None:
    command: click.Command = firstclick
    for name in path.split():
        assert isinstance(command, click.Group)
        command = command.commands[name]
    assert any("--kafka" in param.opts for param in command.get_params(click.Context(command)))


def test_the_key_of_the_logs_hashes_is_not_typed_either_and_no_settings_show_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "key"
    file.write_text(PASSWORD + "\n")
    assert Settings.load(log_key=f"file:{file}").hash_key == PASSWORD.encode()
    assert Settings.load().hash_key == b""
    assert invoke(["worker", "--log-key", PASSWORD]) == Exit.USAGE
    assert "FIRSTCLICK_LOG_KEY" in (said := capsys.readouterr().err)
    monkeypatch.setenv("FIRSTCLICK_LOG_KEY", PASSWORD)
    settings = Settings.load()
    assert settings.hash_key == PASSWORD.encode()
    assert PASSWORD not in f"{settings!r} {said}"


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("fifteen bytes!!", "must have 16 to 64 bytes"),
        ("x" * 65, "must have 16 to 64 bytes"),
        ("file:/nowhere", "--log-key is to come from /nowhere"),
        ("env:NO_SUCH_VARIABLE", "NO_SUCH_VARIABLE, which is not set"),
    ],
)
def test_a_key_that_hides_nothing_or_is_not_there_is_refused_and_not_repeated(told: str, said: str) -> None:
    with pytest.raises(WrongUsage, match=said) as refused:
        Settings.load(log_key=told)
    assert told not in str(refused.value)
