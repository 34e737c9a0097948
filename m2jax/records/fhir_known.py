"""The identifiers in the structured fields of FHIR resources, for `deidentify`: class -> values.

Names (also of relatives, staff and contacts, maiden names), addresses and their coordinates, telecoms, identifiers by
their type, dates of birth and death, device numbers, photographs, names that references display, ids of resources.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_PEOPLE = {"Patient", "Practitioner", "RelatedPerson", "Person"}
_PLACES = {"Organization", "Location", "HealthcareService"}
_DISPLAYS_PERSON = re.compile(
    r"(?i)^(?:urn:uuid:|\S*\b(?:Patient|Practitioner|PractitionerRole|RelatedPerson|Person)/)"
)
_DISPLAYS_PLACE = re.compile(r"(?i)\b(?:Organization|Location)/")
_PERSON_FIELDS = {
    "subject", "patient", "individual", "requester", "performer", "actor", "recorder", "asserter", "author", "provider",
    "practitioner", "generalPractitioner", "informant", "authenticator", "member", "collector", "resultsInterpreter",
}  # fmt: skip
_PLACE_FIELDS = {
    "serviceProvider",
    "managingOrganization",
    "custodian",
    "location",
    "organization",
    "facility",
    "insurer",
}
_TELECOMS = {"phone": "phone", "sms": "phone", "pager": "phone", "fax": "fax", "email": "email", "url": "url"}
_TYPES = {  # codes of an Identifier's type
    **dict.fromkeys(("MR", "PI"), "record_number"),
    **dict.fromkeys(("SS", "SB"), "ssn"),
    **dict.fromkeys(("DL", "PPN", "NPI", "DEA", "MD", "LN"), "licence"),
    **dict.fromkeys(("MB", "MC", "NIIP", "SN"), "health_plan"),
    **dict.fromkeys(("AN",), "account"),
    **dict.fromkeys(("SNO", "UDI"), "device"),
}


def reference_id(reference: object) -> str:
    """The id of "urn:uuid:ID", "Patient/ID", "https://host/Patient/ID/_history/2" and "#ID"; "" of nothing."""
    text = str(reference or "").split("/_history")[0]
    return re.split(r"[/#]|urn:uuid:|urn:oid:", text)[-1]


def known_values(resources: list[dict]) -> dict[str, list[str]]:
    """Class of `identifiers.CLASSES` -> the values that stand in the structured fields, each once."""
    known: dict[str, dict[str, None]] = {}
    for resource in resources:
        for kind, value in _values(resource, resource["resourceType"], ""):
            if isinstance(value, (str, int, float)) and str(value).strip():
                known.setdefault(kind, {})[str(value).strip()] = None
    return {kind: list(values) for kind, values in known.items()}


def _values(value: object, resource: str, field: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, list):
        for item in value:
            yield from _values(item, resource, field)
    if not isinstance(value, dict):
        return
    resource = value.get("resourceType", resource)
    for key, inner in value.items():
        items = inner if isinstance(inner, list) else [inner]
        if key in ("name", "valueHumanName"):
            yield from _names(items, resource)
        elif key in ("address", "valueAddress"):
            for address in items:
                if isinstance(address, dict):
                    yield from _address(address)
        elif key == "telecom":
            yield from (
                (_TELECOMS.get(str(t.get("system")), "other"), t.get("value")) for t in items if isinstance(t, dict)
            )
        elif key == "identifier" and resource not in ("Condition", "Observation"):
            yield from ((_type(i), i.get("value")) for i in items if isinstance(i, dict))
        elif key in ("birthDate", "deceasedDateTime"):
            yield "date", str(inner)[:10]
        elif key in ("serialNumber", "lotNumber", "distinctIdentifier", "deviceIdentifier", "carrierHRF"):
            yield "device", inner
        elif key == "subscriberId":
            yield "health_plan", inner
        elif (
            key in ("latitude", "longitude") or key == "valueDecimal" and value.get("url") in ("latitude", "longitude")
        ):
            yield "geography", inner
        elif key == "photo":
            yield from (("photo", p.get("title")) for p in items if isinstance(p, dict))
        elif key == "valueString" and "maiden" in str(value.get("url", "")).lower():
            yield "name", inner
        elif (
            key == "display"
            and isinstance(value.get("reference"), str)
            or key == "display"
            and field in _PERSON_FIELDS | _PLACE_FIELDS
        ):
            reference = str(value.get("reference", ""))
            if field in _PLACE_FIELDS or _DISPLAYS_PLACE.search(reference):
                yield "geography", inner
            elif field in _PERSON_FIELDS or _DISPLAYS_PERSON.search(reference) and "urn:" not in reference:
                yield "name", inner
        elif key == "id" and re.fullmatch(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", str(inner)):
            yield from [("other", inner)] if resource == "Patient" else []
        if key not in ("code", "coding", "valueCodeableConcept"):
            yield from _values(inner, resource, key)


def _names(items: list, resource: str) -> Iterator[tuple[str, object]]:
    for name in items:
        if isinstance(name, str):
            yield (
                "geography"
                if resource in _PLACES
                else "name"
                if resource in _PEOPLE | {"FamilyMemberHistory"}
                else "other",
                name,
            )
        elif isinstance(name, dict):
            whole = [*name.get("given", []), name.get("family", "")]
            yield "name", " ".join(str(part) for part in whole if part)
            yield "name", name.get("text")


def _address(address: dict) -> Iterator[tuple[str, object]]:
    for key in ("line", "city", "district", "postalCode", "text"):
        inner = address.get(key)
        yield from (("geography", item) for item in (inner if isinstance(inner, list) else [inner]) if item)


def _type(identifier: dict) -> str:
    kind = identifier.get("type")
    codes = [str(c.get("code")) for c in kind.get("coding", [])] if isinstance(kind, dict) else []
    system = str(identifier.get("system", "")).lower()
    for word, kind in (("us-ssn", "ssn"), ("us-npi", "licence"), ("passport", "licence"), ("mrn", "record_number")):
        if word in system:
            return kind
    return next((_TYPES[code] for code in codes if code in _TYPES), "other")
