"""Write this folder's pages anew: python docs/rules/write.py (or make rules)."""

from pathlib import Path

from sweepmaker.debugger.pages import pages

HERE = Path(__file__).resolve().parent

for name, text in pages(HERE.parent.parent / "conf" / "debugger").items():
    (HERE / name).write_text(text)
