"""The few words that the engine itself puts on a page."""

WORDS = {
    "en": {
        "stdout": "Output",
        "stderr": "Warning",
        "error": "Error",
        "html": "Result",
        "volatile": "This output differs from run to run.",
        "also": "also: ",
        "comma": ", ",
        "more": "More in ",
        "right": "Right.",
        "wrong": "Not this one.",
        "reveal": "Show the output",
        "means": "What it means",
        "cure": "What to do",
        "older": "Also worded",
        "lesson": "The whole story",
        "paste": "Paste an error, or the end of a traceback",
        "known": "This is it",
        "guess": "Not known for certain. Nearest:",
        "unknown": "Nothing here resembles that.",
        "names": "Names used on this page: ",
        "shown": "Used in ",
        "unshown": "Not shown yet",
        "problem": "This page has a mistake that its author has to mend",
    },
    "zh": {
        "stdout": "输出",
        "stderr": "警告",
        "error": "报错",
        "html": "结果",
        "volatile": "这里的输出每次运行都不同。",
        "also": "也作：",
        "comma": "、",
        "more": "详见：",
        "right": "答对了。",
        "wrong": "不是这个。",
        "reveal": "看运行结果",
        "means": "意思",
        "cure": "办法",
        "older": "也写作",
        "lesson": "来龙去脉",
        "paste": "把报错（或者报错信息的最后几行）粘贴到这里",
        "known": "就是这一条",
        "guess": "没有完全对上的，最接近的是：",
        "unknown": "这里没有相近的条目。",
        "names": "本页用到的名称：",
        "shown": "用在：",
        "unshown": "还没有讲到",
        "problem": "这一页有错，等作者修改",
    },
}


def word(key: str, language: str) -> str:
    """The word for `key` in `language`, in English where there is none."""
    return WORDS.get(language.partition("-")[0], WORDS["en"])[key]
