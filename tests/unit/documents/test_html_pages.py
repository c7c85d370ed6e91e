from __future__ import annotations

from pathlib import Path

import pytest

from localr1.documents.html_pages import read_html


@pytest.mark.parametrize(
    ("source", "text"),
    [
        pytest.param("<p>one  \n two</p><p>three", "one two\n\nthree", id="blanks and blocks"),
        pytest.param("a<script>b</script><style>c</style>d", "ad", id="scripts and styles"),
        pytest.param("a<div hidden>b<div>c</div>d</div>e", "ae", id="hidden with children"),
        pytest.param('a<span style="display: none">b</span>c', "ac", id="hidden by style"),
        pytest.param("<p hidden>a<p>b", "a\nb", id="an end tag that is left out hides nothing"),
        pytest.param("<pre>  x\n   y</pre>", "  x\n   y", id="preformatted"),
        pytest.param("<ul><li>1<li>2</ul>", "1\n2", id="list"),
        pytest.param("<table><tr><td>1<td>2<tr><td>3</table>", "\t1\t2\n\t3", id="table"),
        pytest.param("&lt;&amp;&#8364;&nbsp;x", "<&€\u00a0x", id="entities"),
        pytest.param("a <b>b</b> c<!-- d -->", "a b c", id="inline and comment"),
        pytest.param("a</div></p>b<", "a\n\nb<", id="broken"),
    ],
)
def test_only_what_a_browser_shows_is_text(source: str, text: str, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(source, encoding="utf-8")

    assert read_html(page).text == text
