"""How the panel looks; it has no script, and loads nothing."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import Final

__all__ = ["STYLE", "STYLE_DIGEST"]

STYLE: Final = """
:root{color-scheme:light dark;--paper:#fff;--back:#f4f5f7;--ink:#1c2330;--quiet:#566073;--line:#d5dae3;--good:#0b6b3a;
--warn:#8a4b00;--bad:#b3161b;--link:#1a55b8}
@media(prefers-color-scheme:dark){:root{--paper:#1b2029;--back:#12161d;--ink:#e8ebf1;--quiet:#a3adbf;--line:#3a4352;
--good:#62cf95;--warn:#f0b35c;--bad:#ff8d8a;--link:#8db8ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:1rem/1.5 system-ui,sans-serif}
header,main{max-width:62rem;margin:0 auto;padding:1rem 1rem 0}
main{padding-bottom:2rem}
h1{font-size:1.35rem;margin:0}
h2{font-size:1.1rem;margin:1rem 0 .5rem}
h3{font-size:1rem;margin:1.1rem 0 .25rem}
p{margin:.25rem 0}
.quiet{color:var(--quiet)}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}
.good,.warn,.bad{font-weight:600}
ul.facts{display:flex;flex-wrap:wrap;gap:.1rem 1.25rem;list-style:none;margin:.25rem 0;padding:0}
ol.requests{list-style:none;margin:0;padding:0}
ol.requests>li{background:var(--paper);border:1px solid var(--line);border-radius:.5rem;margin:0 0 .5rem}
summary{cursor:pointer;padding:.6rem .9rem;overflow-wrap:anywhere;border-radius:.5rem}
summary>span{margin-inline-end:.9rem;font-variant-numeric:tabular-nums}
summary:focus-visible,a:focus-visible{outline:3px solid var(--link);outline-offset:2px}
details>div{padding:0 .9rem .9rem;border-top:1px solid var(--line);scroll-margin-top:4rem}
details>div:target{border-top:3px solid var(--link)}
table{border-collapse:collapse;table-layout:fixed;width:100%}
ul{margin:.25rem 0;padding-inline-start:1.25rem}
thead th:first-child{width:14rem}
thead th:nth-child(2){width:22rem}
caption{text-align:start;font-weight:600;padding:.9rem 0 .25rem}
th,td{text-align:start;vertical-align:top;padding:.2rem .75rem .2rem 0;overflow-wrap:anywhere;
border-top:1px solid var(--line)}
thead th{border-top:0;color:var(--quiet);font-weight:400;font-size:.875rem}
tbody th{font-weight:400}
td{font-variant-numeric:tabular-nums}
code{font:.9em ui-monospace,monospace}
@media(max-width:44rem){th,td{padding-inline-end:.4rem}thead th:first-child,thead th:nth-child(2){width:38%}
summary>span{margin-inline-end:.6rem}}
"""

STYLE_DIGEST: Final = b64encode(sha256(STYLE.encode()).digest()).decode()
"""Allows this style and no other (Content Security Policy Level 3, section 2.3.1)."""
