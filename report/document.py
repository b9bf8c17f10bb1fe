"""The report as plain data: sections, tables, figures and sentences, in reading order."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from report.drawing import Drawing


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A figure with what it shows in words."""

    drawing: Drawing
    title: str
    alt: str  # the finding, for those who do not see the figure
    caption: str  # names interval method, level and n
    wide: bool = False

    @property
    def name(self) -> str:
        """What links point at, and the PNG's file name."""
        return self.drawing.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Paragraphs."""

    kind: ClassVar[str] = "text"
    paragraphs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The sentences that answer a study's question."""

    kind: ClassVar[str] = "answer"
    sentences: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Rows of text under a header; columns named in `numeric` align right."""

    kind: ClassVar[str] = "table"
    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[str] = frozenset()
    strong: frozenset[int] = frozenset()  # rows set in bold: the baseline
    note: str = ""

    def is_numeric(self, column: int) -> bool:
        """Whether this column aligns right."""
        return self.header[column] in self.numeric


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Figures that stand side by side where there is room."""

    kind: ClassVar[str] = "figures"
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """Blocks that open on request."""

    kind: ClassVar[str] = "details"
    summary: str
    blocks: "tuple[Block, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """A verdict in one word, and the numbers that it rests on."""

    word: str  # "supported", "contradicted", ...
    tone: str  # "yes", "no" or "open": the colour of the word
    text: str
    figure: str = ""  # name of the picture that shows it
    sign: str = ""  # that stands for the word where colour does not
    note: str = ""  # what the numbers rest on
    drawings: tuple[str, ...] = ()  # SVG, to stand side by side; only the page has them
    drawn: str = ""  # what they show in words


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A sentence on trial, with a ruling for every task that it is about."""

    kind: ClassVar[str] = "trial"
    statement: str
    rulings: tuple[Ruling, ...]
    facts: tuple[tuple[str, str], ...]
    command: str = ""  # that repeats it; only letters that no shell takes for more
    anchor: str = ""  # plain letters
    label: str = ""  # its id, for instance C2a
    before: str = ""  # the anchor of the trial before it
    after: str = ""


@dataclass(frozen=True, slots=True)
class BallotGroup:
    """Trials that belong together."""

    name: str
    trials: tuple[Trial, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """The contents of a section of trials, each with its verdicts; Markdown has no more of them."""

    kind: ClassVar[str] = "ballot"
    caption: str
    groups: tuple[BallotGroup, ...]


Block = Text | Answer | Table | Figures | Details | Trial | Ballot


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A heading and what stands below it; `topics` are sections one level down."""

    anchor: str
    title: str
    question: str = ""
    blocks: tuple[Block, ...] = ()
    topics: "tuple[Section, ...]" = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What is said at the top of the report: one sentence, or one for each task."""

    topic: str  # what it is about, for instance "activation"
    lines: tuple[str, ...]
    figure: str = ""  # name of the picture that shows it
    weight: float = 0.0  # effect over margin: what findings are ranked by
    is_answer: bool = False  # answers the question of a study
    of_all: bool = False  # what all studies were tried for: never gives way to one of them
    is_warning: bool = False  # stands after the effects


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Interactive:
    """The data of the page's interactive parts, each ready to be written as JSON."""

    explore: Mapping[str, Any]  # as made by `charts`
    playground: Mapping[str, Any]  # as made by `playground`


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Everything the reader sees."""

    title: str
    notices: tuple[str, ...]  # said before anything else: smoke test, incomplete
    subtitle: str
    facts: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...]
    sections: tuple[Section, ...] = field(default=())
    interactive: Interactive | None = None  # what only the page has


def pictures_of(section: Section) -> list[Picture]:
    """Every figure of a section in the order in which it is read."""
    found: list[Picture] = []
    blocks = list(section.blocks)
    while blocks:
        block = blocks.pop(0)
        if isinstance(block, Figures):
            found += block.pictures
        elif isinstance(block, Details):
            blocks = [*block.blocks, *blocks]
    return found + [picture for topic in section.topics for picture in pictures_of(topic)]


def tables_of(section: Section) -> list[tuple[str, Table]]:
    """Every table of a section in the order in which it is read, each with its own anchor."""
    found: list[tuple[str, Table]] = []
    blocks = list(section.blocks)
    while blocks:
        block = blocks.pop(0)
        if isinstance(block, Table):
            found.append((section.anchor, block))
        elif isinstance(block, Details):
            blocks = [*block.blocks, *blocks]
    return found + [table for topic in section.topics for table in tables_of(topic)]


def numbers_of(report: Report) -> Mapping[str, int]:
    """The number of every figure, counted in reading order."""
    names = [p.name for section in report.sections for p in pictures_of(section)]
    return {name: number for number, name in enumerate(names, 1)}
