//! Takes maps out of the BPF object, and creates the rings.

use aya::{
    Ebpf,
    maps::{ArrayOfMaps, Map, MapData, MapError, RingBuf},
};

use super::error::TracerError;

/// Takes a map out of the object, as the type that it should be. The caller has to keep it:
/// programs that are loaded later refer to it by its file descriptor.
pub(super) fn take_map<T: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    name: &'static str,
) -> Result<T, TracerError> {
    let map = ebpf.take_map(name).ok_or(TracerError::NoMap(name))?;
    T::try_from(map).map_err(|source| TracerError::Map { name, source })
}

/// `BPF_MAP_TYPE_RINGBUF` (include/uapi/linux/bpf.h).
const MAP_TYPE_RINGBUF: u32 = 27;

/// Creates a ring, and puts it into a slot of the map of rings.
pub(super) fn make_ring(
    outer: &mut ArrayOfMaps<MapData, MapData>,
    slot: u32,
    bytes: u32,
) -> Result<RingBuf<MapData>, TracerError> {
    let map_error = |source| TracerError::Map {
        name: "RINGS",
        source,
    };
    let data = create_ring_map(bytes)?;
    outer.set(slot, &data, 0).map_err(map_error)?;
    RingBuf::try_from(Map::RingBuf(data)).map_err(map_error)
}

/// The smallest ring there is: one page.
pub(super) const MIN_RING_BYTES: u32 = 4096;

/// Creates a ring that is in no slot of the map of rings yet.
pub(super) fn create_ring_map(bytes: u32) -> Result<MapData, TracerError> {
    let shape = aya_obj::Map::new_from_params(MAP_TYPE_RINGBUF, 0, 0, bytes, 0);
    MapData::create(shape, "isol_ring", None).map_err(|source| TracerError::Map {
        name: "RINGS",
        source,
    })
}
