"""Holds the answers of a server to docs/openrpc.json: the part of JSON Schema that it uses."""
import json
import re
from pathlib import Path

DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openrpc.json").read_text())
METHODS = {method["name"]: method for method in DOCUMENT["methods"]}
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool,
         "null": type(None)}


def resolve(schema):
    while "$ref" in schema:
        at = DOCUMENT
        for part in schema["$ref"].removeprefix("#/").split("/"):
            at = at[part]
        schema = at
    return schema


def complaint(value, schema, where):
    """What is wrong with `value`, None if it fits."""
    schema = resolve(schema)
    if "oneOf" in schema:
        bad = [complaint(value, option, where) for option in schema["oneOf"]]
        return None if bad.count(None) == 1 else f"{where}: {value!r} fits none of {len(bad)}"
    want = TYPES[schema["type"]]
    if not isinstance(value, want) or (want is int and isinstance(value, bool)):
        return f"{where}: {value!r} is no {schema['type']}"
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return f"{where}: {value!r} is not {schema['pattern']}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where}: {value!r} is not in {schema['enum']}"
    if want is int and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        return f"{where}: {value} is out of range"
    parts = []
    if isinstance(value, list):
        parts = [(item, schema["items"], f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, dict):
        known = schema.get("properties", {})
        missing = set(schema.get("required", ())) - set(value)
        rest = schema.get("additionalProperties", True)
        unknown = set(value) - set(known) if rest is False else set()
        if missing or unknown:
            return f"{where}: missing {sorted(missing)}, unknown {sorted(unknown)}"
        parts = [(v, known.get(k, rest), f"{where}.{k}") for k, v in value.items()
                 if isinstance(known.get(k, rest), dict)]
    return next(filter(None, (complaint(*part) for part in parts)), None)


def check_result(name, result):
    bad = complaint(result, METHODS[name]["result"]["schema"], name)
    assert bad is None, bad


def check_error(name, error_name):
    listed = {ref["$ref"].rsplit("/", 1)[1] for ref in METHODS[name]["errors"]} if name in METHODS \
        else {"version"}
    assert error_name in listed, f"{name}: {error_name} is not in the document"
