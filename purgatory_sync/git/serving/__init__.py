"""What upload-pack says, made in process where it is plain: refs, and packs as they lie."""
