# SPDX-License-Identifier: GPL-3.0-or-later
# slapos.grid.promise.generic where slapos.core is missing: what plugin promises
# import from it, with the same names, files and judgements (PROM-10 to 16).

import logging
import os
import random
import re
import time
import traceback
from abc import ABCMeta, abstractmethod
from datetime import datetime, timedelta

PROMISE_STATE_FOLDER_NAME = '.slapgrid/promise'
PROMISE_RESULT_FOLDER_NAME = '.slapgrid/promise/result'
PROMISE_LOG_FOLDER_NAME = '.slapgrid/promise/log'
PROMISE_PARAMETER_NAME = 'extra_config_dict'

ERROR_LEVEL = 'CRITICAL', 'ERROR'
MESSAGE_LIMIT = 5000
LOG_DATE = '%Y-%m-%d %H:%M:%S'
# date, level, transaction, text
match_log_line = re.compile(
    r'(\d{4}-\d{2}-\d{2}\s+\d{2}:\d{2}:\d{2})\s+-?\s*(\w+)\s+-?\s+(\d+-\d{3})'
    r'\s+-?\s*(.*)').match


class PromiseError(Exception):
    pass


class BaseResult(object):
    def __init__(self, problem=False, message=None, date=None):
        if message is not None and len(message) > MESSAGE_LIMIT:
            message = '...' + message[-MESSAGE_LIMIT:]
        self.message = message
        self.date = datetime.utcnow() if date is None else date
        self._problem = problem

    def hasFailed(self):
        return self._problem

    @staticmethod
    def type():
        return 'Base Result'


class TestResult(BaseResult):
    @staticmethod
    def type():
        return 'Test Result'


class AnomalyResult(BaseResult):
    @staticmethod
    def type():
        return 'Anomaly Result'


class EmptyResult(BaseResult):
    def __init__(self):
        BaseResult.__init__(self)

    @staticmethod
    def type():
        return 'Empty Result'


class PromiseQueueResult(object):
    def __init__(self, path=None, name=None, title=None, item=None,
                 execution_time=0):
        self.path, self.name, self.title = path, name, title
        self.item = EmptyResult() if item is None else item
        self.execution_time = execution_time


def lines_from_end(path):
    """The lines of a file, last first, empty ones left out."""
    with open(path, 'rb') as f:
        f.seek(0, os.SEEK_END)
        end, rest = f.tell(), b''
        while end:
            start = max(0, end - 65536)
            f.seek(start)
            lines = (f.read(end - start) + rest).split(b'\n')
            rest, end = lines.pop(0), start
            for line in reversed(lines):
                if line:
                    yield text_of(line)
        if rest:
            yield text_of(rest)


def text_of(line):
    return line if str is bytes else line.decode('utf-8', 'replace')


# The same statement makes a class of a metaclass under Python 2 and 3.
_Abstract = ABCMeta('_Abstract', (object,), {})


class GenericPromise(_Abstract):
    def __init__(self, config):
        self.__config = config
        self.__log_folder = config.pop('log-folder', None)
        self.__partition_folder = config.pop('partition-folder', None)
        self.__debug = config.pop('debug', True)
        self.__name = config.pop('name', None)
        self.__path = config.pop('path', None)
        self.__queue = config.pop('queue', None)
        for value, what in ((self.__queue, 'queue'), (self.__name, 'name'),
                            (self.__path, 'path'),
                            (self.__log_folder, 'log-folder'),
                            (self.__partition_folder, 'partition-folder')):
            if value is None:
                raise ValueError('The configuration of the promise has no ' + what)
        self.__title = os.path.splitext(self.__name)[0]
        self.setPeriodicity(config.pop('periodicity', 2))
        self.__allow_bang = True
        bang_on_failure = config.pop('bang-on-failure', None)
        if bang_on_failure:
            self.__allow_bang = self.__parseBoolean(bang_on_failure)
        self.__is_tested = self.__is_anomaly_detected = True
        self.__configureLogger()

    @staticmethod
    def __parseBoolean(text):
        try:
            return {'false': False, 'true': True}[text.lower()]
        except Exception:
            raise ValueError('%s is neither True nor False.' % text)

    def __configureLogger(self):
        if not os.path.isdir(self.__log_folder):
            os.makedirs(self.__log_folder, 0o700)
        self.__log_file = os.path.join(self.__log_folder, self.__title + '.log')
        transaction = '%i-%i' % (time.time(), random.randint(100, 999))
        handler = logging.FileHandler(
            self.__log_file, encoding=None if str is bytes else 'utf-8')
        handler.setFormatter(logging.Formatter(
            '%(asctime)s - %(levelname)s - ' + transaction + ' - %(message)s',
            LOG_DATE))
        self.logger = logging.getLogger(self.__name)
        for old in list(self.logger.handlers):
            old.close()
            self.logger.removeHandler(old)
        self.logger.setLevel(logging.DEBUG if self.__debug else logging.INFO)
        self.logger.addHandler(handler)

    def getConfig(self, key, default=None):
        return self.__config.get(key, default)

    def setConfig(self, key, value):
        self.__config[key] = value

    def getTitle(self):
        return self.__title

    def getName(self):
        return self.__name

    def getLogFile(self):
        return self.__log_file

    def getLogFolder(self):
        return self.__log_folder

    def getPartitionFolder(self):
        return self.__partition_folder

    def getPromiseFile(self):
        return self.__path

    def setPeriodicity(self, minute):
        if minute <= 0:
            raise ValueError('The periodicity of a promise must be more than 0 '
                             'minutes, not %r' % (minute,))
        self.__periodicity = minute

    def getPeriodicity(self):
        return self.__periodicity

    def setTestLess(self):
        self.__is_tested = False

    def isTested(self):
        return self.__is_tested

    def setAnomalyLess(self):
        self.__is_anomaly_detected = False

    def isAnomalyDetected(self):
        return self.__is_anomaly_detected

    def allowBang(self, allow=True):
        self.__allow_bang = allow

    def getLastPromiseResultList(self, latest_minute=0, result_count=1,
                                 only_failure=False):
        """What the last runs logged, newest run first: lists of dictionaries
        with date, status and message. At most result_count runs, and none that
        is older than latest_minute minutes unless that is 0."""
        if not os.path.exists(self.__log_file):
            return []
        oldest = ''
        if latest_minute > 0:
            start = datetime.now() - timedelta(minutes=latest_minute)
            oldest = start.strftime(LOG_DATE)
        runs, continuation, transaction = [], '', None
        for line in lines_from_end(self.__log_file):
            match = match_log_line(line)
            if match is None:
                continuation = '\n' + line + continuation
                continue
            date, level, its_transaction, text = match.groups()
            if oldest and date <= oldest:
                break
            if its_transaction != transaction:
                if len(runs) == result_count:
                    return runs
                transaction = its_transaction
                runs.append([])
            if not only_failure or level in ERROR_LEVEL:
                runs[-1].insert(0, {'date': datetime.strptime(date, LOG_DATE),
                                    'status': level,
                                    'message': (text + continuation).strip()})
            continuation = ''
        if runs and not runs[-1]:
            runs.pop()
        return runs

    def __judge(self, result_class, result_count, failure_amount, latest_minute):
        """Bad when the last run failed, and with it failure_amount of the last
        result_count runs."""
        runs = self.getLastPromiseResultList(latest_minute, result_count)
        if not runs:
            return result_class(False, 'No result found!')
        message = '\n'.join([line['message'] for line in runs[0]]).strip()
        failures = 0
        for run in runs:
            if any(line['status'] in ERROR_LEVEL for line in run):
                failures += 1
            elif run is runs[0]:
                break
        failed = 0 < failure_amount <= failures
        return result_class(failed, message)

    def _test(self, result_count=1, failure_amount=1, latest_minute=0):
        return self.__judge(TestResult, result_count, failure_amount, latest_minute)

    def _anomaly(self, result_count=1, failure_amount=1, latest_minute=0):
        return self.__judge(AnomalyResult, result_count, failure_amount,
                            latest_minute)

    @abstractmethod
    def sense(self):
        """Checks and logs what it finds."""

    def test(self):
        return self._test()

    def anomaly(self):
        return self._anomaly()

    def __bang(self, can_bang):
        if can_bang and self.__allow_bang and all(
                key in self.__config
                for key in ('master-url', 'computer-id', 'partition-id')):
            message = 'Promise %s is failing' % self.__title
            self.__queue.bang(message)
            self.logger.info('Bang with message %r.', message)

    def __runEnabled(self, result_class, judge):
        try:
            self.sense()
        except Exception as e:
            self.logger.error(str(e))
        try:
            result = judge()
            if result is None:
                raise ValueError("Promise %s method returned 'None'" % judge.__name__)
        except Exception as e:
            result = result_class(True, str(e))
        return result

    def run(self, check_anomaly=False, can_bang=True):
        result_class = AnomalyResult if check_anomaly else TestResult
        if not self.__is_tested and not self.__is_anomaly_detected:
            result = result_class(True, "It's not allowed to disable both Test "
                                        "and Anomaly in promise!")
        elif check_anomaly and self.__is_anomaly_detected:
            result = self.__runEnabled(AnomalyResult, self.anomaly)
            if isinstance(result, AnomalyResult) and result.hasFailed():
                try:
                    self.__bang(can_bang)
                except Exception:
                    self.logger.warning(traceback.format_exc())
        elif not check_anomaly and self.__is_tested:
            result = self.__runEnabled(TestResult, self.test)
        else:
            self.__queue.put_nowait(PromiseQueueResult())
            return
        self.__queue.put_nowait(PromiseQueueResult(
            self.__path, self.__name, self.__title, result))
