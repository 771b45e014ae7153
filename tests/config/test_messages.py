"""One message for a mistake; every automatic choice said and kept."""

from __future__ import annotations

import json

import pytest

from sweepmaker.config.choices import Choices
from sweepmaker.config.errors import ConfigError, DataError, UserError


def test_a_message_has_its_parts_in_order() -> None:
    error = ConfigError("is wrong", key="a.b", allowed="1, 2", fix="a.b=1")
    assert str(error) == "a.b: is wrong\n  allowed: 1, 2\n  fix: a.b=1"
    assert str(UserError("only this")) == "only this"


def test_exit_codes_say_which_kind() -> None:
    assert (ConfigError("").exit_code, DataError("").exit_code, UserError("").exit_code) == (2, 1, 1)


def test_choices_are_said_on_stderr_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    choices = Choices()
    choices.add("threads", 2, "two cores")
    choices.add("threads", 1, "as before")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == ["threads = 2  (two cores)", "threads = 1  (as before)"]
    assert json.loads(json.dumps(choices.as_dict())) == {"threads": {"value": 1, "reason": "as before"}}
    choices.as_dict()["threads"]["value"] = 9
    assert choices.as_dict()["threads"]["value"] == 1


def test_a_quiet_one_only_keeps_them(capsys: pytest.CaptureFixture[str]) -> None:
    choices = Choices(quiet=True)
    choices.add("device", "cpu", "no GPU found")
    assert capsys.readouterr() == ("", "")
    assert "device" in choices.as_dict()
