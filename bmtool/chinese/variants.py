"""Other ways to type a syllable: one table, which translating reads and training data is made with.

`SPELLINGS` are ways to write the same syllable, resolved as soon as pinyin is read. `READINGS` are other syllables that people type
for a hanzi in its usual sense; they become candidates of that syllable, and a share of the training text is labelled with them.
"""

from functools import lru_cache

import numpy as np

LETTERS = (("u:", "v"), ("ü", "v"))  # after tone marks are taken away
SPELLINGS = {
    "lue": "lve", "nue": "nve", "jv": "ju", "qv": "qu", "xv": "xu", "yv": "yu", "jve": "jue", "qve": "que", "xve": "xue", "yve": "yue",
    "jvan": "juan", "qvan": "quan", "xvan": "xuan", "yvan": "yuan", "jvn": "jun", "qvn": "qun", "xvn": "xun", "yvn": "yun",
}  # fmt: skip
ERHUA = ("r", "er")  # after another syllable: nar, wanr, yihuir

# hanzi -> its usual syllable in running text, and the others
READINGS = {
    "这": ("zhe", "zhei"),
    "那": ("na", "nei"),
    "哪": ("na", "nei"),
    "谁": ("shui", "shei"),
    "嗯": ("n", "en", "ng"),
    "地": ("di", "de"),
    "得": ("de", "dei"),
    "血": ("xue", "xie"),
    "熟": ("shu", "shou"),
    "薄": ("bao", "bo"),
    "露": ("lu", "lou"),
    "削": ("xue", "xiao"),
    "剥": ("bo", "bao"),
    "给": ("gei", "ji"),
    "色": ("se", "shai"),
    "尿": ("niao", "sui"),
    "呐": ("na", "ne"),
    "嘞": ("lei", "le"),
    "噢": ("o", "ao"),
    "喔": ("o", "wo"),
}

# Words that stand in Latin letters in Chinese text, and are no pinyin: no slip of it either.
LATIN = frozenset((
    "admin", "agent", "android", "app", "apps", "apple", "baby", "backup", "beta", "blog", "boss", "bug", "bugs", "bye", "call",
    "cpu", "class", "cloud", "code", "cool", "cosplay", "css", "csv", "ddl", "deadline", "debug", "desktop", "docker", "down",
    "email", "excel", "facebook", "fans", "file", "flag", "follow", "free", "github", "gpu", "google", "hello", "hi", "high",
    "hold", "html", "http", "https", "icon", "id", "ideas", "ios", "ip", "ipad", "iphone", "java", "json", "key", "keyboard",
    "kpi", "ktv", "laptop", "level", "linux", "list", "live", "logo", "login", "love", "low", "mac", "mail", "model", "mv",
    "mysql", "node", "ok", "okay", "office", "offer", "online", "out", "outlook", "party", "pc", "pdf", "photoshop", "plus",
    "png", "ppt", "pro", "push", "python", "redis", "root", "rpg", "sdk", "server", "set", "shell", "shopping", "show", "sorry",
    "spark", "sql", "start", "steam", "style", "switch", "team", "test", "tiktok", "tips", "token", "top", "tv", "twitter", "up",
    "url", "usb", "user", "version", "vip", "vlog", "vpn", "web", "wechat", "wifi", "window", "windows", "word", "work", "world",
    "youtube", "zip",
))  # fmt: skip


@lru_cache(maxsize=1)
def _has_variants() -> np.ndarray:
    table = np.zeros(1 << 16, bool)
    table[[ord(hanzi) for hanzi in READINGS]] = True
    return table


def candidates(hanzi: np.ndarray) -> np.ndarray:
    """Positions of hanzi in READINGS among code points (uint16)."""
    return np.flatnonzero(_has_variants()[hanzi])


def vary(hanzi: np.ndarray, inputs: np.ndarray, number: dict[str, int], chance: np.ndarray, share: float) -> np.ndarray:
    """`inputs` with some usual syllables replaced by another from READINGS.

    hanzi: code points; inputs: input numbers, named by `number`; chance: one number in [0, 1) each; `share` of those that could be
    replaced are. All arrays are of one length.
    """
    out = inputs.copy()
    for written, (usual, *others) in READINGS.items():
        at = np.flatnonzero((hanzi == ord(written)) & (inputs == number[usual]) & (chance < share))
        choice = (chance[at] / share * len(others)).astype(np.int64) if len(at) else at
        out[at] = np.array([number[other] for other in others], inputs.dtype)[choice]
    return out
