-- What needs a look? Every alert as it stands now, the worst and newest first.
--
-- The first one is what alert_records.sql shows unless told otherwise.
SELECT
    severity, confidence, detector, title, client_zone, client_addr, server_zone, server_addr, server_port, protocol,
    flows, conversations, bytes, first_seen, last_seen, status, alert_id
FROM alerts
WHERE status <> 'closed'
ORDER BY severity_rank(severity) DESC, last_seen DESC, alert_id;
