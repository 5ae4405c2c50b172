"""n-gram language models: counted in parallel on the disk, smoothed by modified Kneser-Ney, ARPA and a memory map."""
