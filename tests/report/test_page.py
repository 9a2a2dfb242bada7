"""The page: self-contained, escaped, and readable without its pictures."""

from html.parser import HTMLParser

from wattshed.report.canvas import drawn, panels
from wattshed.report.page import Picture, Prose, Section, Table, page

VOID = {"meta", "img", "br", "link"}


@drawn
def line() -> object:
    """A small figure."""
    figure, (axis,) = panels(1)
    axis.plot([0, 1], [0, 1])
    return figure


class Balance(HTMLParser):
    """Keeps the open tags; a tag closed out of turn raises."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        """Push."""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Pop."""
        assert self.open.pop() == tag


def example() -> str:
    """A page with one of everything."""
    table = Table("caption", ("name", "J"), [("a <b> & c", "1.5"), ("d", "–")])
    folded = Table("long", ("name",), [("x",)], folded=True)
    picture = Picture(line(), "under it", 'what "it" shows')  # type: ignore[arg-type]  # drawn keeps the figure's type
    return page("Title <1>", "lead", [Section("One", [Prose("p & q"), table, folded, picture])])


def test_a_page_is_well_formed() -> None:
    """Every tag that opens closes."""
    balance = Balance()

    balance.feed(example())

    assert balance.open == []


def test_text_is_escaped() -> None:
    """What users wrote is text, never markup."""
    text = example()

    assert "a &lt;b&gt; &amp; c" in text
    assert "Title &lt;1&gt;" in text
    assert 'alt="what &#34;it&#34; shows"' in text


def test_a_page_asks_the_network_for_nothing() -> None:
    """No script, style sheet, font or picture comes from elsewhere."""
    text = example()

    assert "<script" not in text
    assert "<link" not in text
    assert 'src="http' not in text
    assert "data:image/svg+xml;base64," in text


def test_numbers_stand_right_and_long_tables_are_folded() -> None:
    """A column of numbers is set to the right, a dash counts as one; a folded table opens on demand."""
    text = example()

    assert '<th scope="col" class="number">J</th>' in text
    assert "<details><summary>long (1 rows)</summary>" in text


def test_the_same_figure_gives_the_same_page() -> None:
    """Pages of two runs can be compared byte by byte."""
    assert example() == example()
