//! Snapshots from where they come to where they go: of our store and of others', kept, restored, and served.

mod bucket;
mod files;
mod kine;
mod lab;
mod plan;
mod restore;
