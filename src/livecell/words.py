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
        "problem": "这一页有错，等作者修改",
    },
}


def word(key: str, language: str) -> str:
    """The word for `key` in `language`, in English where there is none."""
    return WORDS.get(language.partition("-")[0], WORDS["en"])[key]
