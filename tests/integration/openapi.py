#!/usr/bin/python3
"""Answers of the running agent against docs/openapi.yaml.

    openapi.py DOCUMENT CALLS [--all]

CALLS is what the harness notes of each call: `USER METHOD PATH < BODY` and `> STATUS ANSWER`. Every
answer must be one that the document describes: the status, the media type's schema, no field more.
Bodies that were accepted must fit the request's schema, too. With --all, each operation must have
succeeded at least once."""
import json
import re
import sys
from urllib.parse import parse_qs, urlsplit

import yaml
from jsonschema import Draft202012Validator, FormatChecker, RefResolver

METHODS = ("get", "post", "delete", "put", "patch")


class Document:
    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.root = yaml.safe_load(file)
        self.resolver = RefResolver("", self.root)
        self.operations = {}
        for template, item in self.root["paths"].items():
            pattern = re.compile(re.sub(r"\{[a-z]+\}", "[^/]+", template) + "$")
            for method in METHODS:
                if method in item:
                    parameters = item.get("parameters", []) + item[method].get("parameters", [])
                    self.operations[method.upper(), template] = (pattern, item[method], parameters)
        self.check_references(self.root)

    def check_references(self, node):
        if isinstance(node, dict):
            if "$ref" in node:
                self.resolver.resolve(node["$ref"])
            for value in node.values():
                self.check_references(value)
        elif isinstance(node, list):
            for value in node:
                self.check_references(value)

    def follow(self, node):
        while "$ref" in node:
            node = self.resolver.resolve(node["$ref"])[1]
        return node

    def errors(self, schema, value):
        validator = Draft202012Validator(schema, resolver=self.resolver,
                                         format_checker=FormatChecker())
        return [f"{'/'.join(map(str, e.absolute_path)) or 'body'}: {e.message[:200]}"
                for e in validator.iter_errors(value)]

    def find(self, method, path):
        for (known, _), (pattern, operation, parameters) in self.operations.items():
            if known == method and pattern.match(path):
                return operation, parameters
        return None, []

    def problem(self):
        return self.follow(self.root["components"]["responses"]["Problem"])

    def schema_of(self, response, status):
        content = self.follow(response).get("content", {})
        wanted = "application/json" if status < 400 else "application/problem+json"
        return content.get(wanted, {}).get("schema")


def judge(document, method, target, body, status, answer):
    """What is wrong with one call, and the operation that succeeded, or None."""
    path = urlsplit(target).path
    operation, parameters = document.find(method, path)
    response = document.problem()
    if operation is not None:
        responses = operation["responses"]
        response = responses.get(str(status), responses.get("default"))
        if status < 400 and str(status) not in responses:
            return [f"status {status} is not described"], None
    elif status < 400:
        return ["an operation that is not described succeeded"], None
    schema = document.schema_of(response, status)
    if schema is None:
        return ([f"an answer that is not described: {answer[:80]}"] if answer else []), operation
    try:
        wrong = document.errors(schema, json.loads(answer))
    except ValueError:
        return [f"not JSON: {answer[:80]}"], None
    if operation is None or status >= 400:
        return wrong, None
    if "requestBody" in operation and not body.startswith("@"):
        content = document.follow(operation["requestBody"])["content"]
        request = content.get("application/json", {}).get("schema")
        if request is not None:
            wrong += ["request " + e for e in document.errors(request, json.loads(body or "{}"))]
    known = {p["name"] for p in map(document.follow, parameters) if p["in"] == "query"}
    wrong += [f"parameter {name} is not described"
              for name in parse_qs(urlsplit(target).query) if name not in known]
    return wrong, operation


def calls(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        head = None
        for line in file.read().split("\n"):
            asked = re.match(r"\S+ ([A-Z]+) (\S+) < (.*)$", line)
            got = re.match(r"> (\d{3}) (.*)$", line)
            if asked:
                head = asked.groups()
            elif got and head:
                yield *head, int(got.group(1)), got.group(2).rstrip("\r")
                head = None


def main():
    document = Document(sys.argv[1])
    count, failed, done = 0, 0, set()
    for method, target, body, status, answer in calls(sys.argv[2]):
        if len(body) >= 200:  # the harness cuts what it notes
            body = "@"
        wrong, operation = judge(document, method, target, body, status, answer)
        count += 1
        if operation is not None:
            done.add(operation["operationId"])
        for sentence in wrong:
            failed += 1
            print(f"{method} {target} -> {status}: {sentence}")
    if "--all" in sys.argv:
        for _, operation, _ in document.operations.values():
            if operation["operationId"] not in done:
                failed += 1
                print(f"{operation['operationId']} never succeeded")
    print(f"{count} calls, {len(done)} operations succeeded, {failed} things wrong")
    return 1 if failed or not count else 0


sys.exit(main())
