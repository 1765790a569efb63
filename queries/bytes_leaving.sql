-- How many bytes leave the VPC, from which zone, to where?
--
-- Accepted packets from a zone inside to one outside (views.sql, inside_zones), requests and replies, counted once.
-- What goes through a NAT gateway stands twice, under the zone that sent it and under the gateway's own.
WITH per_interface AS (
    SELECT
        src_zone, dst_zone, verdict, src, srcport, dst, dstport, protocol, interface_id,
        sum(packets) AS packets, sum(bytes) AS bytes
    FROM traffic
    WHERE action = 'ACCEPT'
        AND client_addr IS NOT NULL
        AND src_zone IN (SELECT zone FROM inside_zones)
        AND dst_zone NOT IN (SELECT zone FROM inside_zones)
    GROUP BY ALL
),
once AS (
    SELECT
        src_zone, dst_zone, verdict, src, srcport, dst, dstport, protocol,
        max(packets) AS packets, max(bytes) AS bytes
    FROM per_interface
    GROUP BY ALL
)
SELECT
    src_zone,
    dst_zone,
    verdict,
    count(DISTINCT src) AS sources,
    count(DISTINCT dst) AS destinations,
    coalesce(sum(packets), 0)::BIGINT AS packets,
    coalesce(sum(bytes), 0)::BIGINT AS bytes
FROM once
GROUP BY src_zone, dst_zone, verdict
ORDER BY bytes DESC, src_zone, dst_zone, verdict;
