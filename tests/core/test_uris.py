"""Addresses that hold passwords."""

from __future__ import annotations

import pytest

from orchestrator.core.uris import lacks_password, with_password, without_password


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ada:secret@host/db", "postgresql://ada:***@host/db"),
        ("mysql+pymysql://ada:se:c@ret@host:3306/db", "mysql+pymysql://ada:***@host:3306/db"),
        ("postgresql://:secret@host/db", "postgresql://:***@host/db"),
        ("postgresql://host/db?user=ada&password=secret&x=1", "postgresql://host/db?user=ada&password=***&x=1"),
        ("s3://KEY:secret@bucket/path", "s3://KEY:***@bucket/path"),
        ("cannot reach postgresql://ada:secret@host/db today", "cannot reach postgresql://ada:***@host/db today"),
        ("mssql://h/db?odbc_token=secret", "mssql://h/db?odbc_token=***"),
    ],
)
def test_passwords_are_hidden_wherever_an_address_stands(text: str, shown: str) -> None:
    assert without_password(text) == shown
    assert without_password(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "sqlite:////home/ada/mlflow.db",
        "https://mlflow.example:5000",
        "postgresql://ada@host/db",
        "mail ada@host: hi",
        "",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert without_password(text) == text
    assert not lacks_password(text)


def test_a_password_comes_back_encoded() -> None:
    recorded = without_password("postgresql://ada:x@host/db")
    assert lacks_password(recorded)
    assert with_password(recorded, "a/b@c") == "postgresql://ada:a%2Fb%40c@host/db"
    assert not lacks_password(with_password(recorded, "y"))
