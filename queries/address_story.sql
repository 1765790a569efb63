-- What has this address done, and what was done to it?
--
-- SET VARIABLE address = '10.0.10.5' names it; without it, the client with the most breaches is shown (then with the
-- most attempts). One row per peer, port and verdict in the order of first appearance; packets and bytes counted once
-- (views.sql).
WITH chosen AS (
    SELECT coalesce(
        getvariable('address'),
        (
            SELECT client_addr
            FROM flows
            WHERE client_addr IS NOT NULL
            GROUP BY client_addr
            ORDER BY
                count(*) FILTER (WHERE verdict = 'breach') DESC,
                count(*) FILTER (WHERE verdict = 'attempt') DESC,
                client_addr
            LIMIT 1
        )
    ) AS address
),
story AS (
    SELECT
        if(client_addr = address, 'client', 'server') AS acts_as,
        if(client_addr = address, server_addr, client_addr) AS peer,
        if(client_addr = address, server_zone, client_zone) AS peer_zone,
        *
    FROM traffic, chosen
    WHERE client_addr = address OR server_addr = address
),
per_interface AS (
    SELECT
        acts_as, peer, peer_zone, server_port, protocol, action, verdict, reason, client_port, from_client,
        interface_id,
        count(*) AS records, min(start) AS first_seen, max("end") AS last_seen,
        sum(packets) AS packets, sum(bytes) AS bytes
    FROM story
    GROUP BY ALL
),
once AS (
    SELECT
        acts_as, peer, peer_zone, server_port, protocol, action, verdict, reason, client_port, from_client,
        sum(records) AS records, min(first_seen) AS first_seen, max(last_seen) AS last_seen,
        max(packets) AS packets, max(bytes) AS bytes
    FROM per_interface
    GROUP BY ALL
)
SELECT
    min(first_seen) AS first_seen,
    max(last_seen) AS last_seen,
    acts_as,
    peer,
    peer_zone,
    server_port,
    protocol,
    action,
    verdict,
    reason,
    sum(records)::BIGINT AS records,
    coalesce(sum(packets), 0)::BIGINT AS packets,
    coalesce(sum(bytes), 0)::BIGINT AS bytes
FROM once
GROUP BY acts_as, peer, peer_zone, server_port, protocol, action, verdict, reason
ORDER BY first_seen, last_seen, acts_as, peer, server_port, protocol, action, verdict, reason, peer_zone;
