"""Whether a reader with one schema understands what was written with another (Avro 1.12, schema resolution)."""

from modelcast.schemas.avro.schema_nodes import Array, Enumeration, Field, Fixed, Map, Node, Primitive, Struct, Union

_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


def incompatibilities(reader: Node, writer: Node, where: str = "") -> list[str]:
    """Why ``reader`` can't read all that ``writer`` may write, one line each; empty if it can."""
    match reader, writer:
        case _, Union(branches):
            return [line for branch in branches for line in incompatibilities(reader, branch, where)]
        case Union(branches), _:
            if any(not incompatibilities(branch, writer, where) for branch in branches):
                return []
            return [f"{where or 'the schema'}: {_title(writer)} is none of the reader's"]
        case Primitive(r), Primitive(w) if r == w or r in _PROMOTIONS.get(w, ()):
            return []
        case Array(r_items), Array(w_items):
            return incompatibilities(r_items, w_items, f"{where}[]")
        case Map(r_values), Map(w_values):
            return incompatibilities(r_values, w_values, f"{where}{{}}")
        case Fixed(size=r_size), Fixed(size=w_size) if _same_name(reader.name, writer.name) and r_size == w_size:
            return []
        case Enumeration(), Enumeration() if _same_name(reader.name, writer.name):
            unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
            if not unknown or reader.default is not None:
                return []
            return [f"{where}: the reader knows no symbol {', '.join(unknown)} and has no default"]
        case Struct(), Struct() if _same_name(reader.name, writer.name):
            return [line for field in reader.fields for line in _field_problems(field, writer, where)]
    return [f"{where or 'the schema'}: {_title(writer)} is written, {_title(reader)} is read"]


def _field_problems(field: Field, writer: Struct, where: str) -> list[str]:
    path = f"{where}.{field.name}"
    for written in writer.fields:
        if written.name == field.name or written.name in field.aliases:
            return incompatibilities(field.type, written.type, path)
    return [] if field.has_default else [f"{path}: is not written and has no default"]


def _same_name(one: str, other: str) -> bool:
    return one.rpartition(".")[2] == other.rpartition(".")[2]


def _title(node: Node) -> str:
    match node:
        case Primitive(kind):
            return kind
        case Fixed(name=name) | Enumeration(name=name) | Struct(name=name):
            return name
        case _:
            return type(node).__name__.lower()
