-- Nothing is changed but what is said: a service that does not know the dictionary does not know this version either, and refuses
-- to start on events that it could not read.
COMMENT ON COLUMN events.payload IS
    'The whole event as received: JSON, compressed with zstd and the dictionary that it names, if it names one.';
COMMENT ON COLUMN dead_letters.payload IS
    'The whole event as received: JSON, compressed with zstd and the dictionary that it names, if it names one.';
