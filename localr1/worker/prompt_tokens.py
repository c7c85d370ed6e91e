"""Owns how prompt segments become token ids, so that no document can forge a role.

Template text may name special tokens, user text may not. llama.cpp's switch for that still
honours user-defined tokens, and DeepSeek's distillations define `<｜Assistant｜>` as one: user
text is therefore cut inside every such spelling before it is tokenised.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from backends.native import NativeModel
from localr1.worker.frames import Segment


class PromptTokenizer:
    """Token ids for prompts of one model."""

    def __init__(self, model: NativeModel, special_texts: Iterable[str]) -> None:
        self._model = model
        # runs of blanks are tokens of their own in some vocabularies, and harmless
        self._markers = Markers(text for text in special_texts if text.strip())

    def encode(self, segments: Sequence[Segment]) -> list[int]:
        """Token ids of the segments in order, led by BOS if the model wants one."""
        if self._is_plain(segments):
            # in one piece, as a reference implementation would: words may merge across segments
            tokens = self._tokenize("".join(segment.text for segment in segments), special=True)
        else:
            tokens = [token for segment in segments for token in self._encode_one(segment)]
        if self._model.adds_bos and tokens[:1] != [self._model.bos_id]:
            tokens.insert(0, self._model.bos_id)
        return tokens

    def _is_plain(self, segments: Sequence[Segment]) -> bool:
        """Whether no special token would touch user text if all were tokenised as one."""
        guarded = _guarded_ranges(segments)
        joined = "".join(segment.text for segment in segments)
        return not any(
            start < guarded_end and guarded_start < end
            for guarded_start, guarded_end in guarded
            for start, end in self._markers.find(
                joined, guarded_start - self._markers.longest, guarded_end
            )
        )

    def _encode_one(self, segment: Segment) -> list[int]:
        if segment.parse_special:
            return self._tokenize(segment.text, special=True)
        cuts = [start + 1 for start, _ in self._markers.find(segment.text, 0, len(segment.text))]
        edges = [0, *cuts, len(segment.text)]
        pieces = [segment.text[a:b] for a, b in itertools.pairwise(edges)]
        return [token for piece in pieces for token in self._tokenize(piece, special=False)]

    def _tokenize(self, text: str, *, special: bool) -> list[int]:
        return self._model.tokenize(text, parse_special=special) if text else []


class Markers:
    """Finds the spellings of special tokens in a text; thousands of them cost no more than ten."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = frozenset(texts)
        self._first = frozenset(text[0] for text in self._texts)
        self._lengths = sorted({len(text) for text in self._texts})
        self.longest = max(self._lengths, default=0)

    def find(self, text: str, begin: int, end: int) -> Iterator[tuple[int, int]]:
        """Where spellings start (from `begin` to before `end`) and end, the longest at each."""
        for start in range(max(begin, 0), min(end, len(text))):
            if text[start] in self._first:
                ends = [start + n for n in self._lengths if text[start : start + n] in self._texts]
                if ends:
                    yield start, min(ends[-1], len(text))


def _guarded_ranges(segments: Sequence[Segment]) -> list[tuple[int, int]]:
    ranges = []
    position = 0
    for segment in segments:
        end = position + len(segment.text)
        if not segment.parse_special and segment.text:
            ranges.append((position, end))
        position = end
    return ranges
