//! Why a stream or a connection ends before its time.

/// The codes of RFC 9113, section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Reason {
    /// Nothing is wrong.
    NoError = 0,
    /// The other side does what the protocol forbids.
    Protocol = 1,
    /// This side failed.
    Internal = 2,
    /// More came than was allowed to.
    FlowControl = 3,
    /// Settings were not confirmed.
    SettingsTimeout = 4,
    /// Something came after its stream was closed.
    StreamClosed = 5,
    /// A frame has a size that it cannot have.
    FrameSize = 6,
    /// Nothing was done for the stream.
    RefusedStream = 7,
    /// The stream is not wanted any more.
    Cancel = 8,
    /// The headers cannot be read.
    Compression = 9,
    /// A tunnel broke.
    Connect = 10,
    /// The other side asks too much.
    EnhanceYourCalm = 11,
    /// The connection is not safe enough.
    InadequateSecurity = 12,
    /// HTTP/1.1 is to be used.
    Http11Required = 13,
}

/// What a frame did wrong: to the whole connection, or to one stream.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("{1}")]
    Connection(Reason, &'static str),
    #[error("stream {0}: {2}")]
    Stream(u32, Reason, &'static str),
}

impl Fault {
    /// The commonest.
    pub const fn protocol(why: &'static str) -> Self {
        Self::Connection(Reason::Protocol, why)
    }
}
