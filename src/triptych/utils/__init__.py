"""Tools that know nothing of images or networks: files, locks, threads, queues, storage."""
