"""Part of the form `journey`: a till's shorthand in a shopper's words.

Knows nothing of the shop. The till has 30 characters ("FRZN SS PREMIUM ENTREES/DNRS/N") and its own abbreviations.
"""

import re

STORE_BRAND = "Store brand"

# Whole entries that no rule makes readable; the best-sellers among them.
_KINDS = {
    "FLUID MILK WHITE ONLY": "Milk",
    "SOFT DRINKS 12/18&15PK CAN CAR": "Soft drinks, cans by the dozen",
    "SOFT DRINKS 20PK&24PK CAN CARB": "Soft drinks, cans by the case",
    "SOFT DRINKS 6PK/4PK CAN CARB (": "Soft drinks, six cans",
    "SFT DRNK 2 LITER BTL CARB INCL": "Soft drink, 2 litre bottle",
    "SFT DRNK SNGL SRV BTL CARB (EX": "Soft drink, small bottle",
    "SFT DRNK MLT-PK BTL CARB (EXCP": "Soft drink, bottles",
    "YOGURT NOT MULTI-PACKS": "Yogurt",
    "BEERALEMALT LIQUORS": "Beer and ale",
    "DAIRY CASE 100% PURE JUICE - O": "Orange juice, chilled",
    "DAIRY CASE FRUIT DRINKS (NO JU": "Fruit drinks, chilled",
    "DAIRY CASE JUICE DRNK UNDER 10": "Juice drinks, chilled",
    "NON-CRBNTD DRNKING/MNERAL WATE": "Still mineral water",
    "ALL FAMILY CEREAL": "Cereal for the family",
    "KIDS CEREAL": "Cereal for kids",
    "ADULT CEREAL": "Cereal for adults",
    "SS ECONOMY ENTREES/DINNERS ALL": "Frozen budget dinner for one",
    "FRZN SS PREMIUM ENTREES/DNRS/N": "Frozen premium dinner for one",
    "FRZN SS PREMIUM ENTREES/DNRS/T": "Frozen premium dinner for one",
    "FRZN MULTI SERVE ENTREES ALL": "Frozen family dinner",
    "MEXICAN SAUCESSALSAPICANTEE": "Salsa and picante sauce",
    "MEXICAN SOFT TORTILLAS AND WRA": "Soft tortillas and wraps",
    "SEMI-SOLID SALAD DRESSING MAY": "Mayonnaise",
    "SGL SV/VEND MACH SNACKS CHIP/P": "Chips, small bag",
    "RTS SOUP: CHUNKY/HOMESTYLE ET": "Chunky soup, ready to serve",
    "BUTTER SPRAY CRACKER (RITZ/CLU": "Butter crackers",
    "MAINSTREAM WHEAT/MULTIGRAIN BR": "Wheat and multigrain bread",
    "MAINSTREAM WHITE BREAD": "White bread",
    "CANDY BAGS-CHOCOCLATE": "Chocolate bags",
    "REGULAR GARDEN": "Garden salad mix",
    "GARDEN PLUS": "Garden salad mix with extras",
    "BLENDS": "Blended salad mix",
    "PRIMAL": "Beef cuts",
    "CARDS EVERYDAY": "Greeting cards",
    "SNACKS/APPETIZERS": "Frozen snacks and appetizers",
    "SANDWICHES&HANDHELDS": "Frozen sandwiches",
    "FRZN BREAKFAST ENTREES/SANDWIC": "Frozen breakfast sandwiches",
}

# Word by word.
_WORDS = {
    "APPLS": "apples", "BBQ": "BBQ", "BEV": "beverages", "BG": "bags", "BKD": "baked", "BN": "beans", "BRD": "bread",
    "BRKFST": "breakfast", "BTL": "bottle", "BTR": "butter", "CARB": "carbonated", "CATFD": "cat food", "CHICK":
    "chicken", "CHIX": "chicken", "CHOC": "chocolate", "CHOCOCLATE": "chocolate", "CHOCOL": "chocolate", "CKTLS":
    "cocktails", "CKYS": "cookies", "CLEANG": "cleaning", "CND": "canned", "CNDY": "candy", "CONC": "concentrate",
    "CONVENIENT": "quick", "CRAN": "cranberry", "CRBNTD": "carbonated", "CRKR": "crackers", "CRMD": "creamed",
    "CRYSTL": "crystal", "DAN": "danish", "DECAFFINATED": "decaffeinated", "DNR": "dinner", "DNRS": "dinners",
    "DOGFD": "dog food", "DRNK": "drink", "DRNKNG": "drinking", "DRNKS": "drinks", "DRP": "drops", "DRSNG":
    "dressing", "DSH": "dishes", "EX": "except", "EXCP": "except", "FD": "food", "FDS": "foods", "FEM":
    "feminine", "FLU": "flu", "FLVR": "flavour", "FLVRD": "flavoured", "FRE": "fresh", "FRZ": "frozen", "FRZN":
    "frozen", "GDS": "goods", "GRND": "ground", "HBC": "care", "HYGN": "hygiene", "IQF": "frozen", "IWS":
    "sliced", "JCE": "juice", "LOZNG": "lozenges", "MISC": "other", "MLK": "milk", "MLT": "multi", "MNRL":
    "mineral", "MX": "mix", "MXS": "mixes", "PK": "pack", "PKG": "package", "PKGD": "packaged", "PKLD": "pickled",
    "PNT": "peanut", "PORTON": "portions", "PPK": "pack", "PREM": "premium", "PREP": "prepared", "PWDR": "powder",
    "PWDRS": "powders", "REFRGRATD": "refrigerated", "REFRIG": "refrigerated", "RTS": "ready to serve", "SAL":
    "salad", "SALD": "salad", "SANDWIC": "sandwiches", "SAUS": "sausage", "SFT": "soft", "SGL": "single",
    "SHERBTS": "sherbets", "SHLFSH": "shellfish", "SNDWCH": "sandwich", "SNGL": "single", "SNKS": "snacks",
    "SPLY": "supplies", "SPRD": "spread", "SRV": "serve", "SS": "single serve", "SUP": "supplies", "SV": "serve",
    "SW": "sweet", "SWEETNERS": "sweeteners", "SWT": "sweet", "SYRP": "syrup", "TISS": "tissues", "TORT":
    "tortilla", "TRSH": "trash", "TV": "TV", "UNSWE": "unsweetened", "VEG": "vegetable",
    "WHL": "whole", "WHLSM": "wholesome", "WTR": "water", "XPCTRNT": "expectorant",
}  # fmt: skip

# Words that need their category beside them: "Premium" alone may be ice cream or hot dogs.
_SAYS_LITTLE = {
    "adult", "aids", "all", "angus", "bulk", "choice", "cooked", "economy", "enhanced", "fresh", "gifts",
    "infant", "kids", "large", "lean", "light", "mainstream", "meat", "misc", "mixed", "natural", "needs",
    "other", "pints", "plain", "premium", "primal", "regular", "select", "small", "smoked", "specialty", "super",
    "traditional", "value", "variety", "whole",
}  # fmt: skip


def title(kind: str, category: str, store_brand: bool) -> str:
    """A shopper's words for the till's: the type, its category where the type alone says too little, the store's brand.

    >>> title("PREMIUM", "ICE CREAM/MILK/SHERBTS", True)
    'Premium ice cream/milk/sherbets, store brand'
    """
    words = _KINDS.get(kind) or spell(kind)
    if all(word in _SAYS_LITTLE for word in re.findall(r"[a-z]+", words.lower())):
        words = f"{words} {spell(category).lower()}"
    return f"{words}, {STORE_BRAND.lower()}" if store_brand else words


def spell(shorthand: str) -> str:
    """The till's shorthand in plain words.

    >>> spell("FRZN BAGGED VEGETABLES - PLAIN")
    'Frozen bagged vegetables, plain'
    """
    text = re.sub(r"\([^)]*\)?", " ", shorthand)  # Asides, often cut off by the till's 30 characters.
    text = re.sub(r"/[A-Z]{1,3}$", "", text.strip())  # A word that those cut to its first letters.
    text = re.sub(r"[A-Z]+", lambda word: _WORDS.get(word.group(), word.group().lower()), text)
    text = re.sub(r"\s*(:|\s-\s)\s*", ", ", text)
    text = re.sub(r"\s*&\s*", " & ", text)
    text = re.sub(r"\s+", " ", text).strip(" ,-/&")
    return text[:1].upper() + text[1:]
