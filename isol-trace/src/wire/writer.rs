//! A record as a line of JSON, into a buffer that is reused.
//!
//! The text is JSON that can be printed as it is: what would steer a terminal, is not seen, or turns the order of text
//! around is escaped besides what RFC 8259 asks for.
//!
//! A serializer of our own, because a line is written for every kernel entry of a storm: nothing here allocates once
//! the buffer has grown, names of members and words are copied without a look, and text is checked many bytes at once.
//! `benches/json.rs` has what that wins over `serde_json`; a test holds both to the same bytes.

#![expect(
    clippy::inline_always,
    reason = "names of members are constants only where they are written: it halves the time of a record"
)]

use serde::{
    Serialize, Serializer,
    ser::{
        Error as _, Impossible, SerializeMap, SerializeSeq, SerializeStruct, SerializeTuple,
        SerializeTupleStruct,
    },
};

use super::escape::text;

/// Why something is not written: it holds what no record has.
pub type Error = serde_json::Error;

/// Writes a record, without the end of its line.
///
/// # Errors
///
/// Where it holds what no record has, such as bytes or fractions of numbers. What is written then is no record.
pub fn write(out: &mut Vec<u8>, record: &impl Serialize) -> Result<(), Error> {
    record.serialize(Json(out))
}

/// Writes one value.
struct Json<'a>(&'a mut Vec<u8>);

/// Writes what has parts: a list, an object.
struct Parts<'a> {
    out: &'a mut Vec<u8>,
    /// What stands before the next part: the opening bracket, then commas.
    before: u8,
    close: u8,
}

impl<'a> Json<'a> {
    #[inline(always)]
    fn parts(self, open: u8, close: u8) -> Parts<'a> {
        Parts {
            out: self.0,
            before: open,
            close,
        }
    }
}

impl Parts<'_> {
    fn item<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(self.before);
        self.before = b',';
        value.serialize(Json(self.out))
    }

    #[inline(always)]
    fn close(self) {
        if self.before != b',' {
            self.out.push(self.before);
        }
        self.out.push(self.close);
    }
}

fn no_record<T>(what: &str) -> Result<T, Error> {
    Err(Error::custom(format_args!("no record holds {what}")))
}

/// Integers of any width.
macro_rules! integers {
    ($($name:ident($integer:ty))+) => {$(
        #[inline(always)]
        fn $name(self, value: $integer) -> Result<(), Error> {
            self.0.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
            Ok(())
        }
    )+};
}

impl<'a> Serializer for Json<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Parts<'a>;
    type SerializeTuple = Parts<'a>;
    type SerializeTupleStruct = Parts<'a>;
    type SerializeTupleVariant = Impossible<(), Error>;
    type SerializeMap = Parts<'a>;
    type SerializeStruct = Parts<'a>;
    type SerializeStructVariant = Impossible<(), Error>;

    #[inline(always)]
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.0
            .extend_from_slice(if value { b"true" } else { b"false" });
        Ok(())
    }

    integers! {
        serialize_i8(i8) serialize_i16(i16) serialize_i32(i32) serialize_i64(i64)
        serialize_u8(u8) serialize_u16(u16) serialize_u32(u32) serialize_u64(u64)
    }

    fn serialize_f32(self, _: f32) -> Result<(), Error> {
        no_record("a fraction")
    }

    fn serialize_f64(self, _: f64) -> Result<(), Error> {
        no_record("a fraction")
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        text(self.0, value.encode_utf8(&mut [0; 4]));
        Ok(())
    }

    #[inline(always)]
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        text(self.0, value);
        Ok(())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        no_record("bytes")
    }

    fn serialize_none(self) -> Result<(), Error> {
        no_record("a null")
    }

    #[inline(always)]
    fn serialize_some<T: ?Sized + Serialize>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        no_record("a null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        no_record("a null")
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), Error> {
        // A word of this program's source, which needs no escaping.
        self.0.push(b'"');
        self.0.extend_from_slice(variant.as_bytes());
        self.0.push(b'"');
        Ok(())
    }

    #[inline(always)]
    fn serialize_newtype_struct<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: ?Sized + Serialize>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        no_record("a variant with a value")
    }

    #[inline(always)]
    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'[', b']'))
    }

    #[inline(always)]
    fn serialize_tuple(self, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'[', b']'))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'[', b']'))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, Error> {
        no_record("a variant with values")
    }

    #[inline(always)]
    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'{', b'}'))
    }

    #[inline(always)]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'a>, Error> {
        Ok(self.parts(b'{', b'}'))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Error> {
        no_record("a variant with members")
    }
}

/// What serde has different names for and JSON one.
macro_rules! lists {
    ($($list:ident: $element:ident;)+) => {$(
        impl $list for Parts<'_> {
            type Ok = ();
            type Error = Error;

            fn $element<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
                self.item(value)
            }

            fn end(self) -> Result<(), Error> {
                self.close();
                Ok(())
            }
        }
    )+};
}

lists! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleStruct: serialize_field;
}

/// Names are text in every map that a record has.
impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: ?Sized + Serialize>(&mut self, key: &T) -> Result<(), Error> {
        self.item(key)
    }

    fn serialize_value<T: ?Sized + Serialize>(&mut self, value: &T) -> Result<(), Error> {
        self.out.push(b':');
        value.serialize(Json(self.out))
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

impl SerializeStruct for Parts<'_> {
    type Ok = ();
    type Error = Error;

    /// Names of members are of this program's source and need no escaping.
    #[inline(always)]
    fn serialize_field<T: ?Sized + Serialize>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        key(self.out, self.before, name);
        self.before = b',';
        value.serialize(Json(self.out))
    }

    fn end(self) -> Result<(), Error> {
        self.close();
        Ok(())
    }
}

/// The longest name of a member that is put together first, so that it is copied in one piece.
const LONG: usize = 28;

/// Writes what stands before a member, its name and the colon.
#[inline(always)]
fn key(out: &mut Vec<u8>, before: u8, name: &'static str) {
    if name.len() > LONG {
        out.extend_from_slice(&[before, b'"']);
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\":");
        return;
    }
    let mut room = [0; LONG + 4];
    let end = name.len() + 2;
    room[0] = before;
    room[1] = b'"';
    room[2..end].copy_from_slice(name.as_bytes());
    room[end] = b'"';
    room[end + 1] = b':';
    out.extend_from_slice(&room[..end + 2]);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn written(value: impl Serialize) -> String {
        let mut out = Vec::new();
        write(&mut out, &value).expect("a value of a record");
        String::from_utf8(out).expect("JSON is UTF-8")
    }

    fn refused(value: impl Serialize) -> String {
        let error = write(&mut Vec::new(), &value).expect_err("no value of a record");
        error.to_string()
    }

    #[test]
    fn names_of_a_map_are_text_as_any() {
        let map = BTreeMap::from([("\u{202e}\"", 'é'), ("b", 'c')]);
        assert_eq!(written(map), r#"{"b":"c","\u202e\"":"é"}"#);
    }

    #[test]
    fn parts_of_a_tuple_are_a_list() {
        #[derive(Serialize)]
        struct Pair(u8, i8);
        assert_eq!(written((1_u64, Pair(2, -3), [true])), "[1,[2,-3],[true]]");
        assert_eq!(written([0_u8; 0]), "[]");
    }

    #[test]
    fn what_no_record_holds_is_not_written() {
        #[derive(Serialize)]
        enum Variant {
            Word,
            Value(u8),
            Values(u8, u8),
            Members { of: u8 },
        }
        assert_eq!(written(Variant::Word), "\"Word\"");
        assert_eq!(refused(0.5), "no record holds a fraction");
        assert_eq!(refused(None::<u8>), "no record holds a null");
        assert_eq!(refused(()), "no record holds a null");
        for variant in [
            Variant::Value(1),
            Variant::Values(1, 2),
            Variant::Members { of: 1 },
        ] {
            assert!(refused(variant).starts_with("no record holds a variant"));
        }
    }
}
