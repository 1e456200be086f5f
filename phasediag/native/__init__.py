"""Programs for the processor: a traced function of one network as C++, run network after network."""
