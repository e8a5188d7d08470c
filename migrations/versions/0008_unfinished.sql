-- What the vendor is asked about again although it is credited: more may come of a payment that it has not called finished.
CREATE INDEX processed_payments_unfinished ON processed_payments (created_at) WHERE state = 'credited' AND status_rank < 7;
