//! gitoxide (gix) as a client: clone URL FOLDER. It cannot push.

use std::sync::atomic::AtomicBool;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let stop = AtomicBool::new(false);
    let mut asked = gix::prepare_clone(words[1].as_str(), &words[2])?;
    let (mut checkout, _) = asked.fetch_then_checkout(gix::progress::Discard, &stop)?;
    checkout.main_worktree(gix::progress::Discard, &stop)?;
    Ok(())
}
