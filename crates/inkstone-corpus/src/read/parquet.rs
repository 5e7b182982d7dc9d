//! Parquet, a batch of rows at a time.

use std::collections::BTreeMap;
use std::path::Path;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType, Schema};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use serde_json::{Map, Value};

use super::{Content, Place, Sink};
use crate::error::CorpusError;

/// Rows in memory at a time.
const BATCH_ROWS: usize = 128;

/// Reads the string columns of a file (in memory or on disk) as objects. `columns`, where given,
/// are the only ones that are decoded.
pub(crate) fn read_parquet<R: ChunkReader + 'static>(
    file: R,
    path: &Path,
    columns: Option<&[String]>,
    sink: &mut dyn Sink,
) -> Result<(), CorpusError> {
    let broken = |line: u64| {
        move |reason: String| CorpusError::malformed(path, line, format!("not a sound Parquet file: {reason}"))
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|e| broken(0)(e.to_string()))?;
    let roots = string_columns(builder.schema(), columns).map_err(|reason| CorpusError::malformed(path, 0, reason))?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
    let batches =
        builder.with_projection(mask).with_batch_size(BATCH_ROWS).build().map_err(|e| broken(0)(e.to_string()))?;
    let mut record = 0;
    for batch in batches {
        let batch = batch.map_err(|e| broken(record + 1)(e.to_string()))?;
        for row in 0..batch.num_rows() {
            sink.record(Place { record, line: record + 1 }, Content::Value(object(&batch, row)))?;
            record += 1;
        }
    }
    Ok(())
}

/// The columns to decode: all strings, or those that are wanted, which must be there.
fn string_columns(schema: &Schema, wanted: Option<&[String]>) -> Result<Vec<usize>, String> {
    let fields = schema.fields().iter().enumerate();
    let strings = fields.filter(|(_, field)| is_string(field.data_type()));
    let Some(names) = wanted else {
        return Ok(strings.map(|(at, _)| at).collect());
    };
    let strings: BTreeMap<_, _> = strings.map(|(at, field)| (field.name(), at)).collect();
    let position = |name: &String| {
        let all: Vec<_> = strings.keys().collect();
        strings.get(name).copied().ok_or_else(|| format!("no column of strings `{name}`, only {all:?}"))
    };
    names.iter().map(position).collect()
}

fn is_string(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_string(value),
        _ => false,
    }
}

fn object(batch: &RecordBatch, row: usize) -> Value {
    let mut object = Map::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        let value = string_at(column.as_ref(), row).map_or(Value::Null, Value::from);
        object.insert(field.name().clone(), value);
    }
    Value::Object(object)
}

fn string_at(column: &dyn Array, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Utf8 => Some(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => Some(column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => Some(column.as_string_view().value(row).to_owned()),
        DataType::Dictionary(key, _) => in_dictionary(column, key, row),
        _ => None,
    }
}

fn in_dictionary(column: &dyn Array, key: &DataType, row: usize) -> Option<String> {
    match key {
        DataType::Int8 => keyed::<Int8Type>(column, row),
        DataType::Int16 => keyed::<Int16Type>(column, row),
        DataType::Int32 => keyed::<Int32Type>(column, row),
        DataType::Int64 => keyed::<Int64Type>(column, row),
        DataType::UInt8 => keyed::<UInt8Type>(column, row),
        DataType::UInt16 => keyed::<UInt16Type>(column, row),
        DataType::UInt32 => keyed::<UInt32Type>(column, row),
        DataType::UInt64 => keyed::<UInt64Type>(column, row),
        _ => None,
    }
}

fn keyed<K: ArrowDictionaryKeyType>(column: &dyn Array, row: usize) -> Option<String> {
    let dictionary = column.as_dictionary::<K>();
    string_at(dictionary.values().as_ref(), dictionary.key(row)?)
}
