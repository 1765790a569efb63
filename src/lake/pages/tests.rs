//! The same rows written by this writer and by the stock one: both files must read alike, here and, through
//! `tests/duckdb/test_pages.py`, in DuckDB and pyarrow.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use arrow::array::{
    Float64Array, Int32Array, Int64Array, MapBuilder, RecordBatchOptions, StringArray, StringBuilder,
    TimestampMillisecondArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{Field, Fields, Schema};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::statistics::Statistics;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::*;

/// Where the files go that other programs read; unset, they are deleted.
const OUT: &str = "FLOWBOUND_PAGES";

/// How the values of a column are spread.
#[derive(Debug, Clone, Copy)]
enum Spread {
    Constant,
    Few,
    Many,
    Climbing,
    Extreme,
}

const SPREADS: [Spread; 5] = [Spread::Constant, Spread::Few, Spread::Many, Spread::Climbing, Spread::Extreme];

/// Of a thousand rows, so many have no value.
const NULLS: [u64; 5] = [0, 5, 500, 995, 1000];

struct Random(ChaCha8Rng);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0.next_u64() % bound
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }

    fn integer(&mut self, spread: Spread, row: usize) -> i64 {
        match spread {
            Spread::Constant => 7,
            Spread::Few => self.below(12).cast_signed() - 3,
            Spread::Many => self.below(1 << 30).cast_signed(),
            Spread::Climbing => 1_700_000_000 + row as i64 * 3,
            Spread::Extreme => {
                let any = self.0.next_u64().cast_signed();
                self.pick(&[i64::MIN, i64::MAX, 0, -1, 65_535, 65_536, any])
            }
        }
    }

    fn text(&mut self, spread: Spread, row: usize) -> String {
        match spread {
            Spread::Extreme => {
                let long = "ż".repeat(self.below(90) as usize);
                let big = "\u{10ffff}".repeat(20);
                self.pick(&["", " ", "\u{0}", &long, &big, &"~".repeat(70), &"a".repeat(65)]).to_owned()
            }
            _ => format!("value-{}", self.integer(spread, row)),
        }
    }

    fn column(&mut self, field: &Field, spread: Spread, nulls: u64, first: usize, rows: usize) -> ArrayRef {
        let mut values = Vec::with_capacity(rows);
        for row in first..first + rows {
            let null = field.is_nullable() && self.below(1000) < nulls;
            values.push((!null).then_some(row));
        }
        let mut integer = |row: usize| self.integer(spread, row);
        match field.data_type() {
            DataType::Int32 => {
                let narrow = |value: i64| i32::try_from(value).unwrap_or(if value < 0 { i32::MIN } else { i32::MAX });
                let value = |row: &Option<usize>| row.map(|row| narrow(integer(row)));
                Arc::new(values.iter().map(value).collect::<Int32Array>())
            }
            DataType::Int64 => Arc::new(values.iter().map(|row| row.map(&mut integer)).collect::<Int64Array>()),
            DataType::Timestamp(..) => {
                // no engine shows the years beyond 9999 alike
                let value = |row: &Option<usize>| row.map(|row| integer(row).rem_euclid(253_402_300_800_000));
                Arc::new(values.iter().map(value).collect::<TimestampMillisecondArray>())
            }
            DataType::Float64 => {
                Arc::new(values.iter().map(|row| row.map(|row| integer(row) as f64)).collect::<Float64Array>())
            }
            DataType::Utf8 => {
                Arc::new(values.iter().map(|row| row.map(|row| self.text(spread, row))).collect::<StringArray>())
            }
            _ => {
                let names = crate::lake::schema::map_names();
                let mut map = MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new());
                for row in values {
                    for entry in 0..row.map_or(0, |_| self.below(3)) {
                        map.keys().append_value(format!("key-{entry}"));
                        map.values().append_option((self.below(4) > 0).then_some("of a map"));
                    }
                    map.append(row.is_some()).unwrap();
                }
                Arc::new(map.finish())
            }
        }
    }
}

/// Random rows of a random schema, in batches of any size.
fn random_batches(seed: u64) -> (SchemaRef, Vec<RecordBatch>) {
    let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
    let map = crate::lake::schema::flows_schema().field_with_name("extra").unwrap().data_type().clone();
    let time = DataType::Timestamp(TimeUnit::Millisecond, None);
    // the last two are the stock writer's
    let types = [DataType::Utf8, DataType::Int32, DataType::Int64, time, map, DataType::Float64];
    // every type, then any
    let mut spreads = Vec::new();
    let fields: Fields = (0..types.len() + random.below(8) as usize)
        .map(|number| {
            let data_type =
                types.get(number).cloned().unwrap_or_else(|| types[random.below(types.len() as u64) as usize].clone());
            spreads.push((random.pick(&SPREADS), random.pick(&NULLS)));
            let nullable = matches!(data_type, DataType::Map(..)) || random.below(4) > 0;
            Field::new(format!("c{number}"), data_type, nullable)
        })
        .collect();
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let rows =
        random.pick(&[0, 1, 7, 8, 9, 504, 505, PAGE_ROWS - 1, PAGE_ROWS, PAGE_ROWS + 1, 5 * PAGE_ROWS / 2, 90_000]);
    let (mut batches, mut first) = (Vec::new(), 0);
    while first < rows {
        let size = random.pick(&[0, 1, 500, 8192, 40_000]).min(rows - first);
        let columns = schema.fields().iter().zip(&spreads);
        let columns = columns.map(|(field, (spread, nulls))| random.column(field, *spread, *nulls, first, size));
        let options = RecordBatchOptions::new().with_row_count(Some(size));
        batches.push(RecordBatch::try_new_with_options(schema.clone(), columns.collect(), &options).unwrap());
        first += size;
    }
    (schema, batches)
}

fn properties(compression: Compression) -> WriterProperties {
    WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(2 * PAGE_ROWS))
        .set_statistics_enabled(parquet::file::properties::EnabledStatistics::Chunk)
        .build()
}

/// Writes the rows both ways; the two files.
fn write_both(folder: &Path, name: &str, schema: &SchemaRef, batches: &[RecordBatch], by: Compression) -> [PathBuf; 2] {
    let [own, stock] = ["own", "stock"].map(|writer| folder.join(format!("{name}.{writer}.parquet")));
    let mut writer = PageWriter::new(File::create(&own).unwrap(), schema.clone(), &properties(by)).unwrap();
    for batch in batches {
        writer.append(batch).unwrap();
    }
    drop(writer.finish().unwrap());
    let mut writer = ArrowWriter::try_new(File::create(&stock).unwrap(), schema.clone(), Some(properties(by))).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.close().unwrap();
    [own, stock]
}

fn read(path: &Path, schema: &SchemaRef) -> (RecordBatch, Arc<ParquetMetaData>) {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    assert_eq!(reader.schema(), schema);
    let metadata = reader.metadata().clone();
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    (concat_batches(schema, &batches).unwrap(), metadata)
}

/// Bounds are those of the stock writer; of long texts, which each writer cuts in its own way, see [`check_text_bounds`].
fn check_bounds(own: &Statistics, stock: &Statistics) {
    assert_eq!(own.null_count_opt(), stock.null_count_opt());
    if !matches!(own, Statistics::ByteArray(_)) {
        assert_eq!(own, stock);
    }
}

/// Bounds hold for every text, are exact where they are said to be, and are there whenever there is a text.
fn check_text_bounds(own: &Statistics, texts: &ArrayRef) {
    let texts = texts.as_string::<i32>().iter().flatten().map(str::as_bytes);
    let (least, largest) = (texts.clone().min(), texts.max());
    let (min, max) = (own.min_bytes_opt(), own.max_bytes_opt());
    assert_eq!((min.is_some(), max.is_some()), (least.is_some(), largest.is_some()));
    assert!(min <= least && largest <= max, "{own:?}");
    let exact = (min.is_some() && min == least, max.is_some() && max == largest);
    assert_eq!((own.min_is_exact(), own.max_is_exact()), exact, "{own:?}");
    assert!(min.is_none_or(|min| str::from_utf8(min).is_ok()) && max.is_none_or(|max| str::from_utf8(max).is_ok()));
}

#[test]
fn both_writers_write_the_same() {
    let out = std::env::var_os(OUT).map(PathBuf::from);
    let temporary = tempfile::tempdir().unwrap();
    let folder = out.as_deref().unwrap_or(temporary.path());
    fs::create_dir_all(folder).unwrap();
    for seed in 0..24 {
        let (schema, batches) = random_batches(seed);
        let expected = concat_batches(&schema, &batches).unwrap();
        let by = if seed % 4 == 3 { Compression::UNCOMPRESSED } else { Compression::ZSTD(ZstdLevel::default()) };
        let files = write_both(folder, &format!("{seed:02}"), &schema, &batches, by);
        let [(own, own_meta), (stock, stock_meta)] = files.each_ref().map(|file| read(file, &schema));
        assert_eq!(own, expected, "seed {seed}");
        assert_eq!(stock, expected, "seed {seed}");
        assert_eq!(own_meta.num_row_groups(), stock_meta.num_row_groups(), "seed {seed}");
        assert_eq!(own_meta.file_metadata().schema_descr(), stock_meta.file_metadata().schema_descr());
        let mut first = 0;
        for (own, stock) in own_meta.row_groups().iter().zip(stock_meta.row_groups()) {
            assert_eq!(own.num_rows(), stock.num_rows());
            let rows = expected.slice(first, own.num_rows() as usize);
            first += rows.num_rows();
            for (own, stock) in own.columns().iter().zip(stock.columns()) {
                assert_eq!(own.num_values(), stock.num_values(), "{}", own.column_path());
                check_bounds(own.statistics().unwrap(), stock.statistics().unwrap());
                let flat = rows.column_by_name(&own.column_path().string());
                if let Some(texts) = flat.filter(|column| *column.data_type() == DataType::Utf8) {
                    check_text_bounds(own.statistics().unwrap(), texts);
                }
            }
        }
    }
}

/// What a dictionary cannot shorten goes on without one, within a row group.
#[test]
fn a_dictionary_that_is_too_large_is_given_up() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, true)]));
    let values: Int64Array = (0..200_000).map(|i| (i % 9 != 0).then_some(i * 7919 % 1_000_003)).collect();
    let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(values)]).unwrap();
    let properties = WriterProperties::builder().build();
    let mut writer = PageWriter::new(Vec::new(), schema.clone(), &properties).unwrap();
    writer.column(0).unwrap().sum_up();
    writer.append(&batch).unwrap();
    assert_eq!(writer.flush().unwrap(), 200_000);
    let sum: i64 = batch.column(0).as_primitive::<Int64Type>().iter().flatten().sum();
    assert_eq!(writer.column(0).unwrap().sum(), u128::try_from(sum).unwrap());
    let bytes = bytes::Bytes::from(writer.finish().unwrap());
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes).unwrap();
    let encodings: Vec<Encoding> = reader.metadata().row_group(0).column(0).encodings().collect();
    assert!(encodings.contains(&Encoding::RLE_DICTIONARY) && encodings.contains(&Encoding::DELTA_BINARY_PACKED));
    let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(concat_batches(&schema, &read).unwrap(), batch);
}

/// A row group ends early when it has become large.
#[test]
fn large_values_make_small_row_groups() {
    let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("t", DataType::Utf8, false)]));
    let properties = WriterProperties::builder().build();
    let mut writer = PageWriter::new(Vec::new(), schema.clone(), &properties).unwrap();
    let (mut expected, mut most) = (Vec::new(), 0);
    for batch in 0..10 {
        let texts: StringArray = (0..8192).map(|row| Some(format!("{batch}-{row}-{}", "x".repeat(1000)))).collect();
        let batch = RecordBatch::try_new(schema.clone(), vec![Arc::new(texts)]).unwrap();
        writer.append(&batch).unwrap();
        most = most.max(writer.memory());
        expected.push(batch);
    }
    assert!(most < ROW_GROUP_BYTES * 3, "{most} bytes held");
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(writer.finish().unwrap())).unwrap();
    let rows: Vec<i64> = reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    // 20 MiB hold nearly 20,000 such texts, once in the dictionary and doubled as it grows
    assert!(rows[..rows.len() - 1].iter().all(|rows| (8_000..=24_000).contains(rows)), "{rows:?}");
    let read: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    assert_eq!(concat_batches(&schema, &read).unwrap(), concat_batches(&schema, &expected).unwrap());
}
