"""The page's style: one column that fits a phone, paper and a wide screen; contrast as WCAG AA asks.

The colours of the series are Okabe and Ito's (readable with any colour vision), darkened for white
and lightened for a dark background to a contrast of at least 3 to 1; no meaning rests on colour alone.
"""

CSS = """
:root { --ink: #1b1f24; --soft: #57606a; --line: #d0d7de; --paper: #ffffff; --panel: #f6f8fa;
  --s0: #0072b2; --s1: #b34d00; --s2: #00785a; --s3: #a03f74; --s4: #7a5c00; --s5: #3b6fd1; --s6: #6b6b6b;
  --s7: #8a3ffc; --s8: #b3261e; --bad: #9c1c13; --good: #0a6b3d; --badfill: #fdecea; --goodfill: #e6f4ec; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --soft: #a5b0bb; --line: #3d444d;
  --paper: #0d1117; --panel: #161b22; --s0: #56b4e9; --s1: #f0883e; --s2: #2fbf98; --s3: #e08ab8;
  --s4: #d9b23c; --s5: #82aaff; --s6: #9aa4ae; --s7: #c49bff; --s8: #ff7b72; --bad: #ff9b93;
  --good: #5fd394;
  --badfill: #3a1d1b; --goodfill: #12301f; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main, header, footer { max-width: 58rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.5rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 0 0 .5rem; line-height: 1.3; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .4rem 0; max-width: 46rem; }
.soft, figcaption, th, .axis { color: var(--soft); }
section { padding: 1.25rem 0; border-top: 1px solid var(--line); }
code { font: .9em ui-monospace, SFMono-Regular, Menlo, "Liberation Mono", monospace;
  background: var(--panel);
  border: 1px solid var(--line); border-radius: 4px; padding: .05em .35em; overflow-wrap: anywhere; }
.verdict { border: 1px solid var(--line); border-left: 6px solid var(--good); background: var(--goodfill);
  border-radius: 6px; padding: .75rem 1rem; margin: 1rem 0; }
.verdict.found { border-left-color: var(--bad); background: var(--badfill); }
.verdict p { margin: .2rem 0; max-width: none; }
nav { margin: .75rem 0 1.25rem; font-size: .95rem; display: flex; flex-wrap: wrap; gap: .3rem 1rem; }
a { color: var(--s0); text-underline-offset: 2px; }
figure { margin: .75rem 0 1rem; }
figcaption { font-size: .9rem; margin-bottom: .35rem; }
.plot { display: grid; grid-template-columns: auto 1fr; column-gap: .5rem; }
.plot .y { display: flex; flex-direction: column; justify-content: space-between; text-align: right;
  font-size: .8rem; line-height: 1; min-width: 2.2rem; }
.plot .x { grid-column: 2; display: flex; justify-content: space-between; font-size: .8rem;
  margin-top: .25rem; }
.plot svg { width: 100%; height: 9.5rem; display: block; border-bottom: 1px solid var(--soft);
  border-left: 1px solid var(--soft); }
.plot.low svg { height: 6rem; }
svg .grid { stroke: var(--line); }
svg line, svg polyline, svg path { vector-effect: non-scaling-stroke; }
.bar { display: flex; height: 1.75rem; border-radius: 4px; overflow: hidden; gap: 1px;
  background: var(--line); }
.bar span { display: block; min-width: 1px; }
.key { list-style: none; margin: .5rem 0 0; padding: 0; display: flex; flex-wrap: wrap; gap: .15rem 1.1rem;
  font-size: .9rem; }
.key i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
.key b { font-weight: 600; font-variant-numeric: tabular-nums; }
.rows { display: grid; grid-template-columns: minmax(6.5rem, auto) 1fr; gap: .35rem .6rem;
  align-items: center;
  font-size: .9rem; }
.rows svg { width: 100%; height: 1.5rem; display: block; background: var(--panel); border-radius: 3px; }
.rows .x { grid-column: 2; display: flex; justify-content: space-between; font-size: .8rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .75rem .3rem 0; text-align: right; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th, td { white-space: nowrap; }
th:first-child, td:first-child, td.words { white-space: normal; }
th:first-child, td:first-child { text-align: left; }
th.number:first-child, td:first-child:not(.words) { min-width: 6.5rem; }
th.words, td.words { text-align: left; }
td.words:last-child { min-width: 12rem; }
details { border-bottom: 1px solid var(--line); padding: .5rem 0; }
summary { cursor: pointer; }
summary:focus-visible, a:focus-visible { outline: 2px solid var(--s0); outline-offset: 2px; }
.badge { display: inline-block; font-size: .8rem; font-weight: 600; border-radius: 999px; padding: 0 .6em;
  border: 1px solid currentColor; margin-left: .4rem; white-space: nowrap; }
.badge.found { color: var(--bad); } .badge.fine { color: var(--good); } .badge.none { color: var(--soft); }
.advice { border-left: 3px solid var(--s1); padding-left: .7rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; margin: .3rem 0; font-size: .85rem; }
dl { display: grid; grid-template-columns: auto 1fr; gap: .15rem 1rem; margin: .5rem 0; font-size: .95rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
footer { padding-bottom: 2rem; font-size: .9rem; }
@media (max-width: 30rem) { body { font-size: 15px; } table { font-size: .8rem; }
  th, td { padding-right: .5rem; } .rows { grid-template-columns: 1fr; }
  .rows .x { grid-column: 1; } dl { grid-template-columns: minmax(auto, 7.5rem) 1fr; } }
@media print { :root { --ink: #000; --soft: #444; --line: #bbb; --paper: #fff; --panel: #f4f4f4;
  --s0: #0072b2;
  --s1: #b34d00; --s2: #00785a; --s3: #a03f74; --s4: #7a5c00; --s5: #3b6fd1; --s6: #6b6b6b; --s7: #8a3ffc;
  --s8: #b3261e; --bad: #9c1c13; --good: #0a6b3d; --badfill: #fff; --goodfill: #fff; }
  body { font-size: 11pt; } nav { display: none; }
  section, figure, details, tr, .rows { break-inside: avoid; } .long { break-inside: auto; }
  h2, h3, figcaption, thead { break-after: avoid; }
  /* what is closed on the screen is on paper: nobody can open it there */
  details:not([open])::details-content { content-visibility: visible; display: block; block-size: auto; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
