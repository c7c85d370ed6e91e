"""Owns the short text on which source and result are compared: prose, Chinese, code, maths.

Written for this purpose, so that no model has been trained on it and no licence comes with it.
Each passage is evaluated by itself, from an empty context.
"""

from __future__ import annotations

PASSAGES = (
    """\
The lighthouse keeper kept two books. In the first one he wrote the weather, the ships and the
hours of the lamp, because the harbour office paid him for it. In the second one he wrote what he
thought about during the long nights, and nobody had asked for that. When the office closed the
station thirty years later, a young clerk was sent to collect the records. She took the first book
to the archive and read the second one on the train. By the time she arrived, she had decided to
leave her job and learn how to repair clocks.
""",
    """\
小镇的图书馆只有一间屋子，冬天靠一个旧炉子取暖。管理员每天早上先把炉子点着，然后把昨天还回来的书放回架子上。
来看书的人不多，大多是放学以后的孩子。他们喜欢坐在炉子旁边，一边烤手，一边读关于大海的故事，虽然他们谁也没有见过大海。
""",
    """\
def merge_intervals(intervals: list[tuple[int, int]]) -> list[tuple[int, int]]:
    \"\"\"Join intervals that overlap or touch.\"\"\"
    merged: list[tuple[int, int]] = []
    for start, end in sorted(intervals):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((start, end))
    return merged
""",
    """\
A train leaves at 9:40 and travels 126 km at 84 km/h. How long does it take, and when does it
arrive? Time is distance divided by speed: 126 / 84 = 1.5 hours, which is 1 hour and 30 minutes.
Adding 1 hour and 30 minutes to 9:40 gives 11:10. Check: 84 * 1.5 = 84 + 42 = 126. So the train
arrives at 11:10.
""",
)
