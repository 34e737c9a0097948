"""Whether FHIR R4 resources have the shape that the loader counts on, by the names of their fields."""

from __future__ import annotations

_OBJECT = (
    "subject patient individual period onsetPeriod performedPeriod effectivePeriod valueQuantity valueRange "
    "valueCodeableConcept medicationCodeableConcept medicationReference clinicalStatus verificationStatus vaccineCode "
    "relationship attachment"
)
_OBJECTS = (
    "coding reasonCode reasonReference participant component reaction manifestation note telecom extension "
    "interpretation dosageInstruction presentedForm content contained"
)
_TEXT = "reference birthDate family data contentType conclusion onsetDateTime effectiveDateTime authoredOn system"
_TEXTS = "given prefix line"
_EITHER = "code identifier address encounter"  # an object, a list of them, or a text
_SHAPES = {
    **dict.fromkeys(_OBJECT.split(), "an object"),
    **dict.fromkeys(_OBJECTS.split(), "a list of objects"),
    **dict.fromkeys(_TEXT.split(), "a text"),
    **dict.fromkeys(_TEXTS.split(), "a list of texts"),
    **dict.fromkeys(_EITHER.split(), "an object, a list of objects or a text"),
}


def checked(resource: dict, path: str) -> dict:
    """The resource without its nulls. ValueError names the first field that has not the shape of FHIR R4, no value."""
    out = {}
    for field, value in resource.items():
        if value is None:
            continue
        wanted = _SHAPES.get(field)
        if wanted and not _has_shape(value, wanted):
            raise ValueError(f"{path}.{field} is {type(value).__name__}; FHIR R4 has {wanted} there")
        out[field] = _inside(value, f"{path}.{field}")
    return out


def _inside(value: object, path: str) -> object:
    if isinstance(value, dict):
        return checked(value, path)
    if isinstance(value, list):
        return [_inside(item, f"{path}[{number}]") for number, item in enumerate(value) if item is not None]
    return value


def _has_shape(value: object, wanted: str) -> bool:
    def all_are(kind: type) -> bool:
        return isinstance(value, list) and all(item is None or isinstance(item, kind) for item in value)

    match wanted:
        case "an object":
            return isinstance(value, dict)
        case "a text":
            return isinstance(value, str)
        case "a list of objects":
            return all_are(dict)
        case "a list of texts":
            return all_are(str)
        case _:
            return isinstance(value, (dict, str)) or all_are(dict)
