-- Which permitted services did not answer?
--
-- TCP conversations with a request that left, of which no record says that anything came back. (Where nobody knows which
-- end is the client, nobody knows what an answer is.) Every single record of
-- them is as the map wants it, so no verdict tells. `arrived` counts those that an interface of the server recorded:
-- where it is 0 the packets were lost on the way (a route, a peering, a transit gateway), or the server's interface does
-- not log; where it is all of them, the host is silent. `answered` are the conversations of the same clients' zone
-- with the same server and port that did get an answer: where there are some, it is no question of routes. What was
-- refused is not counted: `outages.sql` has it.
WITH conversation AS (
    SELECT
        client_zone, server_zone, client_addr, client_port, server_addr, server_port,
        bool_or(NOT from_client AND action = 'ACCEPT') AS answered,
        bool_or(from_client AND side = 'destination') AS arrived,
        min(start) AS first_seen,
        max("end") AS last_seen
    FROM traffic
    WHERE orientation IN ('request', 'reply') AND protocol = 6 AND verdict IN ('expected', 'stray', 'outage')
    GROUP BY ALL
    HAVING bool_or(from_client AND verdict = 'expected') AND NOT bool_or(verdict = 'outage')
)
SELECT
    client_zone,
    server_zone,
    server_addr,
    server_port,
    count(*) FILTER (NOT answered) AS unanswered,
    count(*) FILTER (NOT answered AND arrived) AS arrived,
    count(*) FILTER (answered) AS answered,
    min(first_seen) FILTER (NOT answered) AS first_seen,
    max(last_seen) FILTER (NOT answered) AS last_seen
FROM conversation
GROUP BY ALL
HAVING unanswered > 0
ORDER BY unanswered DESC, server_addr, server_port, client_zone, server_zone;
