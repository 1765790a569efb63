-- When did it begin? Records of each verdict, hour by hour.
--
-- Hours are UTC, of `start`; records without a start are in the last row.
SELECT
    date_trunc('hour', start) AS hour,
    count(*) AS records,
    count(*) FILTER (WHERE verdict = 'expected') AS expected,
    count(*) FILTER (WHERE verdict = 'breach') AS breach,
    count(*) FILTER (WHERE verdict = 'attempt') AS attempt,
    count(*) FILTER (WHERE verdict = 'blocked') AS blocked,
    count(*) FILTER (WHERE verdict = 'outage') AS outage,
    count(*) FILTER (WHERE verdict = 'stray') AS stray,
    count(*) FILTER (WHERE verdict = 'unmapped') AS unmapped,
    count(*) FILTER (WHERE verdict = 'nodata') AS nodata,
    count(*) FILTER (WHERE verdict = 'gap') AS gap
FROM flows
GROUP BY ALL
ORDER BY hour NULLS LAST;
