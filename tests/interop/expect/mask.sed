# What depends on the run: counters, times, temperatures, generated names.
