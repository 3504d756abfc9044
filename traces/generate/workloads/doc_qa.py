"""Questions about long documents, all shuffled: the arXiv-QA benchmark of the Jenga paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ....configs.errors import TraceError
from ...columns import IntColumn, offsets_of
from ...record import Trace
from ...words import check, number
from ..blocks import Blocks, Mint
from ..draw import Draw
from ..lengths import Lengths
from ..segments import running
from ..workload import Maker, part_of


@dataclass(frozen=True)
class DocQa:
    """Documents with some questions behind each, in random order.

    A document is a group of articles. A set of documents is shuffled with all its questions; a
    longer trace goes on with the next set. Jenga's runs have 8 documents cut at 80,000 tokens
    (Ministral), 10 cut at 90,000 (Gemma 3) and 40 uncut (Llama 4), each with 4 questions and
    answers of 150 tokens. So 3 of 4 requests hit a document's tokens if the cache keeps them.

    Attributes:
        documents: Documents of a set.
        questions: Questions about each of them.
        articles_least: A document has at least so many articles.
        articles_most: And at most so many; all numbers between are as likely.
        article_tokens: Length of an article, lognormal.
        article_p90_tokens: Its 90 % quantile.
        cut_tokens: Documents are cut here.
        question_tokens: Length of a question, lognormal.
        question_p90_tokens: Its 90 % quantile.
        output_tokens: Length of an answer.
        block_tokens: Tokens per hash id; only full blocks have one.
    """

    NAME: ClassVar[str] = "doc-qa"
    ARRIVALS: ClassVar[str] = "at-once"

    documents: int = number(8, least=1, most=1_000_000)
    questions: int = number(4, least=1, most=1_000)
    articles_least: int = number(2, least=1, most=10_000)
    articles_most: int = number(18, least=1, most=10_000)
    # An assumption: a mean of 9,250, so that ten articles make the 92,408 tokens that the paper
    # gives as the average.
    article_tokens: float = number(8_000.0, least=1.0)
    article_p90_tokens: float = number(16_000.0)
    cut_tokens: int = number(80_000, least=1)
    # An assumption: one or two sentences.
    question_tokens: float = number(30.0, least=1.0)
    question_p90_tokens: float = number(60.0)
    output_tokens: int = number(150, least=1)
    block_tokens: int = number(16, least=1)

    def __post_init__(self) -> None:
        check(self)
        if self.articles_most < self.articles_least:
            raise TraceError(
                f"doc-qa: articles_most: must be at least articles_least ({self.articles_least}), "
                f"is {self.articles_most}"
            )

    @property
    def blocks(self) -> Blocks:
        """See ``Workload``."""
        return Blocks(self.block_tokens)

    @property
    def batch(self) -> int:
        """See ``Workload``: one set."""
        return self.documents * self.questions

    @property
    def requests_per_arrival(self) -> float:
        """See ``Workload``."""
        return 1.0

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        return _Sets(self, draw).part


class _Sets:
    """Makes one set after the other."""

    def __init__(self, qa: DocQa, draw: Draw) -> None:
        self._qa = qa
        self._articles = draw.stream("articles")
        self._article = draw.stream("article")
        self._question = draw.stream("question")
        self._order = draw.stream("order")
        self._mint = Mint()

    def part(self, start_ns: IntColumn) -> Trace:
        """See ``Maker``."""
        qa = self._qa
        documents = self._documents()
        full = documents // qa.block_tokens
        shared = np.stack([self._mint.take(full), full], axis=1)
        about = self._order.order(qa.batch) % qa.documents
        question = Lengths(qa.question_tokens, qa.question_p90_tokens)
        input_tokens = documents[about] + question.draw(self._question, qa.batch)
        return part_of(
            start_ns,
            input_tokens,
            np.full(qa.batch, qa.output_tokens),
            qa.blocks.of_prompts(input_tokens, self._mint, shared[about]),
        )

    def _documents(self) -> IntColumn:
        """Lengths of a set's documents in tokens."""
        qa = self._qa
        kinds = qa.articles_most - qa.articles_least + 1
        more = np.floor(self._articles.uniform(qa.documents) * kinds).astype(np.int64)
        offsets = offsets_of(qa.articles_least + more)
        article = Lengths(qa.article_tokens, qa.article_p90_tokens)
        lengths = article.draw(self._article, int(offsets[-1]))
        return np.minimum(running(lengths, offsets)[offsets[1:] - 1], qa.cut_tokens)
