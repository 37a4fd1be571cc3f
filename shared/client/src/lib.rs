//! Reads, writes and watches of API objects over a transport in memory or over TLS; reflectors and views.
