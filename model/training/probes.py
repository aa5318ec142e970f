"""Titles and queries of everyday goods, for comparing two graphs of one encoder where no catalogue is at hand.

Written for this project. Several languages: a text with a word that the tokenizer does not know is left out.
"""

import random
from collections.abc import Sequence

from tokenizers import Tokenizer

TITLES: tuple[str, ...] = tuple(
    title.strip()
    for title in """
    Men's waterproof trail running shoes, size 10
    Women's leather ankle boots with side zip, black
    Kids' rubber rain boots, yellow duck print
    Soft wool hiking socks, 3 pairs
    Slim fit stretch jeans, dark blue
    Cotton crew neck T-shirt, white, pack of 5
    Floral summer dress with pockets
    Packable down jacket with hood
    Silk tie with blue stripes
    Polarised sunglasses for driving
    Stainless steel watch with leather strap
    Gold plated hoop earrings
    Carry-on suitcase with four wheels, 40 litres
    Laptop backpack with USB port
    Moisturising hand cream with shea butter, 75 ml
    Anti dandruff shampoo for oily hair
    Conditioner for curly hair, 500 ml
    Matte liquid lipstick, rose
    Waterproof mascara, black
    Nail polish remover without acetone
    Electric toothbrush with two heads
    Mint toothpaste for sensitive teeth
    Safety razor with ten blades
    Sunscreen SPF 50 for face
    Eau de parfum spray for women, 50 ml
    Hair dryer with diffuser, 2000 W
    Organic dark roast coffee beans, 1 kg
    Green tea bags, 100 count
    Extra virgin olive oil, 750 ml
    Wholegrain spaghetti, 500 g
    Strawberry jam with less sugar
    Salted butter, 250 g
    Sourdough rye bread, sliced
    Greek yoghurt, plain, 4 cups
    Dry cat food with chicken, 4 kg
    Grain free dog treats, beef
    Clumping cat litter, unscented
    Aquarium filter for 60 litre tank
    Non-stick frying pan, 28 cm
    Cast iron casserole with lid
    Chef's knife, 20 cm blade
    Glass food storage containers, set of 10
    Electric kettle, 1.7 litres, quick boil
    Espresso machine with milk frother
    Robot vacuum cleaner with mop
    Microfibre cleaning cloths, 24 pieces
    Dishwasher tablets, 60
    Memory foam pillow, queen size
    Duvet cover set, double, grey
    LED desk lamp with dimmer
    Blackout curtains, 2 panels
    Bookshelf with five shelves, oak
    Wireless noise cancelling headphones
    USB-C fast charger, 65 W
    Mechanical keyboard with brown switches
    27 inch 4K computer monitor
    Tempered glass screen protector, 2 pack
    Smartphone tripod with remote
    Rechargeable AA batteries, 8 pack
    Cordless drill with two batteries
    Adjustable wrench, 10 inch
    Garden hose, 25 m, with nozzle
    Tulip bulbs, mixed colours, 50
    Lawn mower, electric, 38 cm
    Mountain bike helmet, adults
    Yoga mat, 6 mm, non slip
    Adjustable dumbbells, pair, 20 kg
    Tent for four people, waterproof
    Sleeping bag for cold weather
    Acoustic guitar for beginners with bag
    Violin strings, set of 4
    Wooden building blocks for toddlers
    Jigsaw puzzle, 1000 pieces, mountain lake
    Board game for the family, 2 to 6 players
    Baby stroller, foldable, with rain cover
    Disposable nappies, size 4, 120 pieces
    Picture book about dinosaurs
    Detective novel, paperback
    Ballpoint pens, blue, box of 50
    A5 notebook, dotted, hard cover
    something warm for a winter hike
    gift for a new father
    shoes that do not slip in the rain
    what to clean a carpet with
    lamp for reading in bed
    my dog needs something to chew
    food for a picnic
    The sole came off after two weeks, very disappointed.
    Smells lovely and the skin stays soft all day.
    My daughter plays with it every evening, worth the money.
    Herren Regenjacke, wasserdicht, mit Kapuze
    Damen Winterstiefel aus Leder, gefüttert
    Kaffeebohnen, ganze Bohne, 1 kg
    Bratpfanne, beschichtet, 28 cm
    Zapatillas de correr para mujer
    Crema hidratante para manos, 75 ml
    Cafetera italiana de aluminio
    Chaussures de randonnée imperméables
    Huile d'olive vierge extra, 1 litre
    Jouet en bois pour enfants
    男士防水登山鞋 防滑
    女式真皮短靴 秋冬
    儿童保温杯 500毫升
    无线蓝牙耳机 主动降噪
    不粘平底锅 28厘米
    电动牙刷 成人声波
    猫砂 豆腐砂 无尘
    婴儿推车 可折叠
    有机绿茶 250克
    纯棉四件套 双人床
    瑜伽垫 加厚防滑
    机械键盘 青轴
    适合送给爸爸的生日礼物
    下雨天穿的不滑的鞋子
    质量很好,孩子非常喜欢
    儿童雨鞋 黄色 小鸭图案
    羊毛袜 加厚 三双装
    修身牛仔裤 深蓝色
    碎花连衣裙 夏季 带口袋
    轻薄羽绒服 连帽
    真丝领带 条纹
    偏光太阳镜 开车专用
    不锈钢手表 皮表带
    拉杆箱 万向轮 登机箱
    双肩电脑包 大容量
    护手霜 乳木果 保湿
    去屑洗发水 控油
    哑光口红 玫瑰色
    防水睫毛膏 黑色
    抗敏感牙膏 薄荷味
    防晒霜 面部 清爽不油腻
    吹风机 大功率 家用
    咖啡豆 深度烘焙
    特级初榨橄榄油
    全麦面包 无蔗糖
    草莓果酱 低糖
    原味酸奶 整箱
    猫粮 鸡肉味 成猫
    狗零食 牛肉粒
    鱼缸过滤器 静音
    铸铁炖锅 带盖
    菜刀 家用 切片刀
    玻璃保鲜盒 套装
    电热水壶 快速烧水
    扫地机器人 扫拖一体
    洗碗机专用洗涤块
    记忆棉枕头 护颈
    台灯 护眼 可调光
    遮光窗帘 卧室
    书架 落地 五层
    手机支架 自拍杆
    充电电池 套装
    电钻 充电式 家用
    花园水管 带喷头
    郁金香种球 混色
    帐篷 四人 防雨
    睡袋 冬季 加厚
    民谣吉他 初学者
    积木 儿童 木制
    拼图 一千片 风景
    尿不湿 大号
    恐龙绘本 幼儿
    推理小说 平装
    笔记本 点阵 硬壳
    想给小狗买点磨牙的东西
    冬天徒步穿什么暖和
    擦地毯用什么好
    味道很好闻,皮肤一整天都很滑
    穿了两周鞋底就开胶了,很失望
    メンズ ランニングシューズ 防水
    コーヒー豆 深煎り 1kg
    子供用レインブーツ
    여성용 가죽 부츠
    무선 블루투스 이어폰
    Мужские водонепроницаемые ботинки
    Кофе в зернах, 1 кг
    حذاء رياضي للرجال مقاوم للماء
    قهوة عربية محمصة
    """.strip().split("\n")
)


FEWEST = 60
"""Titles that have neighbours worth comparing."""


def known(tokenizer: Tokenizer, titles: Sequence[str] = TITLES) -> list[str]:
    """The titles of which the tokenizer knows every word; texts of its own words where these are too few."""
    unknown = {tokenizer.token_to_id(name) for name in ("[UNK]", "<unk>")} - {None}
    found = [title for title in titles if not unknown & set(tokenizer.encode(title).ids)]
    if len(found) >= FEWEST:
        return found
    words, dice = sorted(word for word in tokenizer.get_vocab() if word.isalpha()), random.Random(0)
    return found + [" ".join(dice.choices(words, k=dice.randint(2, 12))) for _ in range(200)]
