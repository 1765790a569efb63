-- Which records does this alert speak of?
--
-- SET VARIABLE alert = '0f3a' takes the first digits of an id; without it, the worst and newest alert is shown.
-- The alert itself says how to find its records: its column `query` is asked here.
SET VARIABLE alert_query = coalesce(
    (
        SELECT query
        FROM alerts
        WHERE starts_with(alert_id, coalesce(getvariable('alert'), '')) AND status <> 'closed'
        ORDER BY severity_rank(severity) DESC, last_seen DESC, alert_id
        LIMIT 1
    ),
    'FROM flows WHERE false'
);

SELECT
    start, "end", interface_id, srcaddr, srcport, dstaddr, dstport, protocol, packets, bytes, action, tcp_flags, side,
    orientation, confidence, verdict, reason, source, line
FROM query(getvariable('alert_query'))
ORDER BY start NULLS LAST, source, line;
