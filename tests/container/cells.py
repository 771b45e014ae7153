"""Awkward values of a sweep: what JSON, YAML, argparse or a shell would make something else of."""

from __future__ import annotations

# name of the hyperparameter, text of its value: as Hydra's sweepers would put them on a command line
CELLS: tuple[tuple[str, str], ...] = (
    # numbers and what looks like one
    ("lr", "0.1"), ("lr", "1e-05"), ("lr", "1.10"), ("lr", "-0.0"), ("epochs", "007"), ("epochs", "1_0"),
    ("+custom.a", "1.10"), ("+custom.a", "1e3"), ("+custom.a", "'1.10'"), ("+custom.a", '"1"'),
    ("+custom.a", "inf"), ("+custom.a", "nan"), ("+custom.a", "0x10"), ("+custom.a", "1_000"),
    ("+custom.a", "12345678901234567890"), ("+custom.a", "1."), ("+custom.a", ".5"),
    # null, true and what only looks like them
    ("+custom.a", "null"), ("+custom.a", "'null'"), ("+custom.a", "true"), ("+custom.a", "True"),
    ("+custom.a", "'true'"), ("+custom.a", "no"), ("+custom.a", "None"),
    ("trainer.gradient_clip_val", "null"), ("trainer.deterministic", "True"),
    # text
    ("+custom.a", ""), ("+custom.a", "''"), ("+custom.a", "'a b'"),
    ("+custom.a", r"a\ b"), ("+custom.a", "' a '"),
    ("+custom.a", "'a,b'"), ("+custom.a", r"a\,b"),
    ("+custom.a", "'k=v'"), ("+custom.a", r"s3\://bucket/k\=v"),
    ("+custom.a", "'a: b'"), ("+custom.a", "'it\\'s'"), ("+custom.a", '"it\'s"'), ("+custom.a", "'\"'"),
    ("+custom.a", r"'a\\'"), ("+custom.a", "'é €'"), ("+custom.a", "'--flag'"), ("+custom.a", "-x"),
    ("+custom.a", "'$HOME'"), ("+custom.a", "${lr}"),
    ("+custom.a", r"'\${lr}'"), ("+custom.a", "'{\"a\": 1}'"),
    ("+custom.a", "'#x'"), ("+custom.a", "'*'"), ("+custom.a", "a%20b@c?d|e"),
    # lists and dicts
    ("+custom.a", "[]"), ("+custom.a", "[1,2]"),
    ("+custom.a", "[1.10,'1.10',null,True]"), ("+custom.a", "['a b','c,d']"),
    ("+custom.a", "[[1],[a,b]]"), ("+custom.a", "{}"),
    ("+custom.a", "{a:1}"), ("+custom.a", "{a:{b:[1,2]},c:'x y'}"),
    ("+custom.a", "{1:one}"), ("data.augment.crop_scale", "[0.5,1.0]"), ("+custom.b.c", "{d:null}"),
    # names: groups, new keys, one letter, packages, names that differ by case only
    ("optimizer", "sgd"), ("model", "resnet50"), ("+experiment", "b2"),
    ("trainer", "cpu"), ("debug", "limit"),
    ("++custom.x", "1"), ("++lr", "0.5"), ("+custom.B", "1"), ("+optimizer@custom.o", "sgd"), ("+x", "5"),
)  # fmt: skip
