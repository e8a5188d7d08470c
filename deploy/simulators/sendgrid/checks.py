"""Checks a mail as SendGrid does, and complains in its words (docs.sendgrid.com, "Mail Send Errors")."""

from __future__ import annotations

import re
from typing import Any

Problem = dict[str, Any]

ADDRESS = re.compile(r"[^@\s<>,;\"]{1,64}@[^@\s<>,;\"]+\.[^@\s<>,;\".]+")
PERSONALIZATIONS = 1000
RECIPIENTS = 1000
CUSTOM_ARGS_BYTES = 10_000
CATEGORIES = 10
TEMPLATE = re.compile(r"d-[0-9a-fA-F]{32}|[0-9a-fA-F-]{36}")

NO_PERSONALIZATION = "The personalizations field is required and must have at least one personalization."
NO_FROM = (
    "The from object must be provided for every email send. It is an object that requires the email parameter, but may also contain a"
    ' name parameter.  e.g. {"email" : "example@example.com"}  or {"email" : "example@example.com", "name" : "Example Recipient"}.'
)
NO_TO = "The to array is required for all personalization objects, and must have at least one email object with a valid email address."
NO_SUBJECT = (
    "The subject is required. You can get around this requirement if you use a template with a subject defined or if every"
    " personalization has a subject defined."
)
NO_CONTENT = (
    "Unless a valid template_id is provided, the content parameter is required. There must be at least one defined content block. We"
    " typically suggest both text/plain and text/html blocks are included, but only one block is required."
)
EMPTY_CONTENT = "The content value must be a string at least one character in length."
CONTENT_ORDER = "If present, text/plain and text/html may only be provided once, and text/plain must be first, followed by text/html."
BAD_ADDRESS = "Does not contain a valid address."


def problem(message: str, field: str | None = None) -> Problem:
    """Write one entry of `errors`."""
    return {"message": message, "field": field, "help": None}


def check(mail: dict[str, Any]) -> list[Problem]:
    """List what is wrong with a mail; nothing is wrong when the list is empty."""
    people = mail.get("personalizations")
    if not isinstance(people, list) or not people or not all(isinstance(person, dict) for person in people):
        return [problem(NO_PERSONALIZATION, "personalizations")]
    problems = check_from(mail.get("from")) + check_recipients(people) + check_subject(mail, people) + check_content(mail)
    if isinstance(mail.get("reply_to"), dict) and not valid(mail["reply_to"].get("email")):
        problems.append(problem(BAD_ADDRESS, "reply_to.email"))
    categories = mail.get("categories", [])
    if not isinstance(categories, list) or len(categories) > CATEGORIES:
        problems.append(problem(f"There is a limit of {CATEGORIES} categories per request.", "categories"))
    return problems


def valid(address: Any) -> bool:
    return isinstance(address, str) and len(address) <= 254 and ADDRESS.fullmatch(address) is not None


def check_from(sender: Any) -> list[Problem]:
    if not isinstance(sender, dict) or not sender.get("email"):
        return [problem(NO_FROM, "from.email")]
    return [] if valid(sender["email"]) else [problem("The from email does not contain a valid address.", "from.email")]


def check_recipients(people: list[dict[str, Any]]) -> list[Problem]:
    if len(people) > PERSONALIZATIONS:
        return [problem(f"The personalizations field is limited to {PERSONALIZATIONS} objects per API request.", "personalizations")]
    problems: list[Problem] = []
    count = 0
    for index, person in enumerate(people):
        seen: set[str] = set()
        for kind in ("to", "cc", "bcc"):
            addresses = person.get(kind, [])
            where = f"personalizations.{index}.{kind}"
            if not isinstance(addresses, list) or (kind == "to" and not addresses):
                problems.append(problem(NO_TO, where))
                continue
            count += len(addresses)
            problems += check_addresses(addresses, where, seen)
        if len(str(person.get("custom_args", ""))) > CUSTOM_ARGS_BYTES:
            problems.append(problem("The custom_args are limited to 10,000 bytes.", f"personalizations.{index}.custom_args"))
    if count > RECIPIENTS:
        problems.append(problem(f"The total number of recipients must be {RECIPIENTS} or less.", "personalizations"))
    return problems


def check_addresses(addresses: list[Any], where: str, seen: set[str]) -> list[Problem]:
    """Check one list of addresses; `seen` gathers them, because nobody may be named twice."""
    problems = []
    for index, one in enumerate(addresses):
        address = one.get("email") if isinstance(one, dict) else None
        if not valid(address):
            problems.append(problem(BAD_ADDRESS, f"{where}.{index}.email"))
        elif str(address).lower() in seen:
            text = "Each email address in the personalization block should be unique between to, cc, and bcc."
            problems.append(problem(f"{text} We found the first duplicate instance of [{address}] in the {where} field.", where))
        seen.add(str(address).lower())
    return problems


def check_subject(mail: dict[str, Any], people: list[dict[str, Any]]) -> list[Problem]:
    if mail.get("template_id") or all(person.get("subject") for person in people):
        return []
    return [] if isinstance(mail.get("subject"), str) and mail["subject"] else [problem(NO_SUBJECT, "subject")]


def check_content(mail: dict[str, Any]) -> list[Problem]:
    """Check the blocks: at least one unless a template brings them, plain text before HTML."""
    if mail.get("template_id"):
        known = isinstance(mail["template_id"], str) and TEMPLATE.fullmatch(mail["template_id"])
        return [] if known else [problem("The template_id must be a valid GUID, you provided an invalid one.", "template_id")]
    content = mail.get("content")
    if not isinstance(content, list) or not content or not all(isinstance(block, dict) for block in content):
        return [problem(NO_CONTENT, "content")]
    problems = [
        problem(EMPTY_CONTENT, f"content.{index}.value") for index, block in enumerate(content) if not isinstance(block.get("value"), str) or not block["value"]
    ]
    kinds = [str(block.get("type")) for block in content]
    # Beside these two other types may follow (calendar entries), so their places are compared and not the whole list.
    ordered = [kind for kind in kinds if kind in {"text/plain", "text/html"}]
    if ordered not in ([], ["text/plain"], ["text/html"], ["text/plain", "text/html"]):
        problems.append(problem(CONTENT_ORDER, "content"))
    return problems
