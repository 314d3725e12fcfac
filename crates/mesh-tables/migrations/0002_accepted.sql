-- Moments that lie ahead and were accepted: clocks of rows that are here are of these milliseconds. Who replaces
-- such a row gives it the next clock, of the same millisecond, and that is not kept aside again.
CREATE TABLE mesh_accepted (
    millis INTEGER PRIMARY KEY
);
