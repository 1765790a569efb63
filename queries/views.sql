-- What is in the lake? The views and macros that the other files of this folder ask.
--
-- Name the lake, a folder or an s3:// prefix, then read this file once in a session:
--
--     SET VARIABLE lake = 'lake';
--     .read queries/views.sql
--
-- A view looks at the variable at each query, so another lake needs no more than another SET VARIABLE. Every other
-- file answers one question and can be run as it is; what can be varied stands in it as getvariable('name') with
-- its default, and is changed by SET VARIABLE name = ....

-- Every record, as in schemas/flows.sql. A record without a start has neither date nor hour: both are NULL.
-- The types are given because DuckDB would guess them from the folder names, and take '02' for a text.
CREATE OR REPLACE VIEW flows AS
SELECT *
FROM read_parquet(
    getvariable('lake') || '/flows/**/*.parquet',
    hive_partitioning = true,
    hive_types = {'date': DATE, 'hour': INTEGER}
);

-- Every alert as it stands now: the table is append-only, and the last revision holds.
CREATE OR REPLACE VIEW alerts AS
SELECT *
FROM read_parquet(
    getvariable('lake') || '/alerts/**/*.parquet',
    hive_partitioning = true,
    hive_types = {'date': DATE}
)
QUALIFY row_number() OVER (PARTITION BY alert_id ORDER BY revision DESC) = 1;

-- The records that tell of packets, with the way that the packets went:
--   src, dst            the packet's own addresses, not those of the gateway between
--   from_client         true when the packets went from client to server; of two equal addresses, the orientation
--                       decides; true as well where nobody knows (no map, or the map cannot place the record)
--   client_port         the port at the client's end
--   src_zone, dst_zone  the zones of src and dst
--
-- Counted once. A packet between two interfaces of a VPC is recorded by both, and the two aggregation intervals do
-- not begin together, so copies cannot be paired record by record. Where a query sums packets or bytes, it
-- first sums them for each interface over (client_addr, client_port, server_addr, server_port, protocol,
-- from_client) and over all the time that it asks about; of these sums the largest counts, because an interface can
-- miss records and cannot invent them. Then it adds up. Such a query has the two steps `per_interface` and `once`.
CREATE OR REPLACE VIEW traffic AS
SELECT
    *,
    if(from_client, srcport, dstport) AS client_port,
    if(from_client, client_zone, server_zone) AS src_zone,
    if(from_client, server_zone, client_zone) AS dst_zone
FROM (
    SELECT *, coalesce(client_addr = src AND orientation <> 'reply', true) AS from_client
    FROM (
        SELECT *, coalesce(pkt_srcaddr, srcaddr) AS src, coalesce(pkt_dstaddr, dstaddr) AS dst
        FROM flows
        WHERE coalesce(log_status, 'OK') = 'OK'
    )
);

-- The zones inside the VPCs that this lake is about. The lake does not hold the map, but its records tell: an
-- interface records its own VPC, so the sender's zone is inside where `side` is source, the receiver's where it is
-- destination, both where it is unknown. A gateway records for others (its plain address is not the packet's), which
-- proves nothing; nor does traffic_path 1, which is the way to a NAT gateway too. And of a record that the map can
-- judge, at least one end is inside: where the one is outside, it is the other.
CREATE OR REPLACE VIEW inside_zones AS
SELECT DISTINCT zone
FROM (
    SELECT src_zone AS zone FROM traffic
    WHERE side IN ('source', 'unknown') AND srcaddr = src
    UNION ALL
    SELECT dst_zone FROM traffic
    WHERE side IN ('destination', 'unknown') AND dstaddr = dst
    UNION ALL
    SELECT unnest([src_zone, dst_zone]) FROM traffic
    WHERE client_addr IS NOT NULL
        AND ('internet' IN (src_zone, dst_zone) OR 'private-unknown' IN (src_zone, dst_zone))
)
WHERE zone NOT IN ('internet', 'private-unknown', 'special');

-- From 1 (info) to 5 (critical), and back.
CREATE OR REPLACE MACRO severity_rank(severity) AS
    list_position(['info', 'low', 'medium', 'high', 'critical'], severity);
CREATE OR REPLACE MACRO severity_name(rank) AS
    ['info', 'low', 'medium', 'high', 'critical'][rank];
