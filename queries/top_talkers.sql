-- Which addresses move the most bytes?
--
-- Accepted traffic, what an address sent and what it received, each packet counted once (views.sql): the sum of
-- `bytes` in a plain query is up to twice as much inside a VPC. Needs no map.
WITH per_interface AS (
    SELECT
        src, srcport, src_zone, dst, dstport, dst_zone, protocol, interface_id, sum(bytes) AS bytes
    FROM traffic
    WHERE action = 'ACCEPT'
    GROUP BY ALL
),
once AS (
    SELECT src, srcport, src_zone, dst, dstport, dst_zone, protocol, max(bytes) AS bytes
    FROM per_interface
    GROUP BY ALL
),
ends AS (
    SELECT src AS address, src_zone AS zone, dst AS peer, bytes AS sent, 0 AS received FROM once
    UNION ALL
    SELECT dst, dst_zone, src, 0, bytes FROM once
)
SELECT
    address,
    zone,
    coalesce(sum(sent), 0)::BIGINT AS bytes_sent,
    coalesce(sum(received), 0)::BIGINT AS bytes_received,
    count(DISTINCT peer) AS peers
FROM ends
GROUP BY address, zone
ORDER BY bytes_sent + bytes_received DESC, address, zone
LIMIT coalesce(getvariable('rows'), 20);
