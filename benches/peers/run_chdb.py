"""chDB (ClickHouse): gzip logs to zoned and judged Parquet, zones by its ip_trie dictionary.

line:   LineAsString, split by hand
custom: CustomSeparatedWithNames
"""

from chdb import session

from common import THREADS, arguments, rule_keys

TYPES = {8: "UInt8", 16: "UInt16", 64: "UInt64"}
REPEATED = {"account_id", "interface_id", "action", "log_status"}
NEVER_NULL = {"version", "account_id", "interface_id", "start_", "end_", "log_status"}

shape, columns, logs, boundary, out = arguments()
house = session.Session(f"{out}/session")


def column_type(name, kind):
    name_type = TYPES.get(kind, "String")
    if name not in NEVER_NULL:
        name_type = f"Nullable({name_type})"
    return f"LowCardinality({name_type})" if name in REPEATED else name_type


settings = f"SETTINGS max_threads = {THREADS}, max_parsing_threads = {THREADS}"
if shape == "line":
    values = [
        f"nullIf(f[{place}], '-') AS {name}" if kind == "text" else f"to{TYPES[kind]}OrNull(f[{place}]) AS {name}"
        for place, (name, kind) in enumerate(columns.items(), 1)
    ]
    read = (
        f"(SELECT {', '.join(values)} FROM (SELECT splitByChar(' ', line) AS f FROM file('{logs}', 'LineAsString') "
        "WHERE NOT startsWith(line, 'version')))"
    )
elif shape == "custom":
    types = ", ".join(f"{name} {column_type(name, kind)}" for name, kind in columns.items())
    read = f"file('{logs}', 'CustomSeparatedWithNames', '{types}')"
    settings += (
        ", format_custom_field_delimiter = ' ', format_custom_escaping_rule = 'CSV', format_csv_delimiter = ' ', "
        "format_csv_null_representation = '-', format_csv_allow_double_quotes = 0, "
        "input_format_with_names_use_header = 0"
    )
else:
    raise SystemExit(f"no shape {shape}")

for statement in (
    "CREATE DATABASE map ENGINE = Atomic",
    "CREATE TABLE map.cidrs (cidr String, zone UInt8) ENGINE = Memory",
    f"INSERT INTO map.cidrs SELECT * FROM file('{boundary}/cidrs.csv', 'CSVWithNames', 'cidr String, zone UInt8')",
    "CREATE DICTIONARY map.zones (cidr String, zone UInt8) PRIMARY KEY cidr "
    "SOURCE(CLICKHOUSE(DB 'map' TABLE 'cidrs')) LAYOUT(IP_TRIE) LIFETIME(0)",
    "CREATE TABLE map.rules (key UInt64) ENGINE = Set",
    f"INSERT INTO map.rules VALUES {', '.join(f'({key})' for key in rule_keys(boundary))}",
):
    house.query(statement)


def zone(column):
    address = f"assumeNotNull({column})"
    look = "dictGet('map.zones', 'zone', {}({}))"
    six, four = look.format("toIPv6OrDefault", address), look.format("toIPv4OrDefault", address)
    return f"toUInt8(multiIf({column} IS NULL, 0, position({address}, ':') > 0, {six}, {four}))"


house.query(f"""
    INSERT INTO FUNCTION file('{out}/flows.parquet', 'Parquet')
    SELECT {', '.join(columns)}, src_zone, dst_zone, toUInt8(multiIf(log_status != 'OK', 0,
        (bitShiftLeft(toUInt64(if(dstport <= srcport, src_zone, dst_zone)), 40)
        + bitShiftLeft(toUInt64(if(dstport <= srcport, dst_zone, src_zone)), 32)
        + bitShiftLeft(toUInt64(assumeNotNull(protocol)), 24)
        + least(assumeNotNull(srcport), assumeNotNull(dstport))) IN map.rules,
        if(action = 'ACCEPT', 1, 3), if(action = 'ACCEPT', 2, 4))) AS verdict
    FROM (SELECT *, {zone('srcaddr')} AS src_zone, {zone('dstaddr')} AS dst_zone FROM {read})
    {settings}, output_format_parquet_compression_method = 'zstd', output_format_compression_level = 1,
        output_format_parquet_row_group_size = 262144, output_format_parquet_string_as_string = 1,
        optimize_trivial_insert_select = 0""")
